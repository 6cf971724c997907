import { expect, test } from "bun:test"
import { taskOfDocument } from "../../src/core/foreign.ts"

const read = (text: string, more: { type?: string; priority?: number; queue?: string } = {}) => {
  const { name, payload, priority, queue } = taskOfDocument({ text, queue: "mail", id: "x", now: 1, ...more })
  return { name, payload, priority, queue }
}

test.each([
  // The bare document of somebody who knows nothing of tq: named by the queue.
  [
    '{"task_id":"1","action":"process","data":1.10}',
    {},
    { name: "mail", payload: '{"task_id":"1","action":"process","data":1.10}' },
  ],
  ['"text"', {}, { name: "mail", payload: '"text"' }],
  ['{"name":"send"}', {}, { name: "mail", payload: '{"name":"send"}' }],
  ['{"name":"no name","payload":1}', {}, { name: "mail", payload: '{"name":"no name","payload":1}' }],
  ["1", { queue: "-odd-" }, { name: "document", payload: "1", queue: "-odd-" }],
  // tq's own shape.
  ['{"name":"send","payload":{"n":1.10}}', {}, { name: "send", payload: '{"n":1.10}' }],
  ['{"name":"send","payload":1,"priority":2}', {}, { name: "send", payload: "1", priority: 2 }],
  ['{"name":"send","payload":1,"priority":2}', { priority: 7 }, { name: "send", payload: "1", priority: 7 }],
  ['{"name":"send","payload":1,"priority":11}', {}, { name: "send", payload: "1" }],
  ['{"name":"send","payload":1,"priority":"high"}', {}, { name: "send", payload: "1" }],
  // A type of the transport says it all.
  [
    '{"name":"send","payload":1}',
    { type: "other" },
    { name: "other", payload: '{"name":"send","payload":1}' },
  ],
  ['\ufeff{"a":1}', {}, { name: "mail", payload: '{"a":1}' }],
])("%s %j", (text, more, expected) => {
  expect(read(text, more)).toEqual({ priority: 5, queue: "mail", ...expected })
})

test.each(["", "nonsense{", "{} {}"])("%j is no task", (text) => {
  expect(() => read(text)).toThrow(expect.objectContaining({ code: "data" }))
})
