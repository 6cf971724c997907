/** Programs that tests call, and that a fresh machine may not have. */
import type { Need } from "./install.ts"

const everywhere = (program: string): Need => ({
  program,
  packages: { "apt-get": program, dnf: program, apk: program, brew: program },
})

/** Of util-linux, which Debian splits. */
const ofUtilLinux = (program: string, debian: string): Need => ({
  program,
  packages: { "apt-get": debian, dnf: "util-linux", apk: "util-linux-misc", brew: "util-linux" },
})

/** Of the system's own Python: it has the packages of the system. */
const pythonModule = (name: string): Need => ({
  program: `Python's ${name}`,
  isThere: () => Bun.spawnSync(["/usr/bin/python3", "-c", `import ${name}`]).exitCode === 0,
  packages: { "apt-get": `python3-${name}`, dnf: `python3-${name}`, apk: `py3-${name}`, brew: "python" },
})

export const tools: readonly Need[] = [
  everywhere("bash"),
  everywhere("zsh"),
  everywhere("fish"),
  everywhere("perl"),
  everywhere("jq"),
  { program: "python3", packages: { "apt-get": "python3", dnf: "python3", apk: "python3", brew: "python" } },
  pythonModule("redis"),
  pythonModule("pika"),
  ofUtilLinux("script", "bsdutils"),
  ofUtilLinux("setpriv", "util-linux"),
  ofUtilLinux("prlimit", "util-linux"),
  ofUtilLinux("unshare", "util-linux"),
]
