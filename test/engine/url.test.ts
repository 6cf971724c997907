import { describe, expect, test } from "bun:test"
import { anchorUrl, hasPassword, redactUrl, withoutPassword } from "../../src/url.ts"

describe("a password", () => {
  test.each([
    ["redis://:pw@h", "redis://:***@h", "redis://h", "pw"],
    ["redis://ann:pw@h/0", "redis://ann:***@h/0", "redis://ann@h/0", "pw"],
    ["amqps://ann:p%2Fw@h/v", "amqps://ann:***@h/v", "amqps://ann@h/v", "p/w"],
    ["redis+sentinel://:pw@a:1,b:2/m", "redis+sentinel://:***@a:1,b:2/m", "redis+sentinel://a:1,b:2/m", "pw"],
    ["unix://ann:pw@/run/x", "unix://ann:***@/run/x", "unix://ann@/run/x", "pw"],
    // What should have been percent-encoded must not be shown for that.
    ["redis://:p/w?@x@h", "redis://:***@h", "redis://h", "p/w?@x"],
    ["redis://ann:12/3@h", "redis://ann:***@h", "redis://ann@h", "12/3"],
    ["redis://:p%w@h", "redis://:***@h", "redis://h", "p%w"],
  ])("in %s", (url, shown, rest, password) => {
    expect(hasPassword(url)).toBe(true)
    expect(redactUrl(url)).toBe(shown)
    expect(withoutPassword(url)).toEqual({ url: rest, password })
  })

  test.each([
    "sqlite:/a:b@c",
    "redis://h:6379/0",
    "rediss://h:6379/0?ca=/a@b",
    "unix:///a:b@c",
    "redis://ann@h",
    "",
  ])("is not in %s", (url) => {
    expect(hasPassword(url)).toBe(false)
    expect(redactUrl(url)).toBe(url)
    expect(withoutPassword(url)).toEqual({ url })
  })
})

test.each([
  ["sqlite:a.db", "sqlite:/w/a.db"],
  ["sqlite:/a.db", "sqlite:/a.db"],
  ["unix:run/redis.sock?db=1", "unix:/w/run/redis.sock?db=1"],
  ["unix:///run/redis.sock", "unix:///run/redis.sock"],
  ["rediss://h?ca=ca.crt&cert=/c&key=../k", "rediss://h?ca=/w/ca.crt&cert=/c&key=/k"],
  ["redis+sentinel://h/m?sentinel-password-file=p", "redis+sentinel://h/m?sentinel-password-file=/w/p"],
  ["redis://key=x/", "redis://key=x/"],
])("%s in /w is %s", (url, absolute) => expect(anchorUrl(url, "/w")).toBe(absolute))
