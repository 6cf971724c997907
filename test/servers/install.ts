/** Installs programs that tests need and the machine does not have, by the machine's own package manager. */

/** A program, and the package that brings it, by package manager. */
export interface Need {
  readonly program: string
  /** Where it is no file on the PATH. */
  readonly isThere?: () => boolean
  readonly packages: Readonly<Record<Manager, string>>
}

type Manager = keyof typeof managers

const managers = {
  "apt-get": { refresh: ["update", "-q"], install: ["install", "-y", "-q", "--no-install-recommends"] },
  dnf: { refresh: undefined, install: ["install", "-y", "-q"] },
  apk: { refresh: undefined, install: ["add", "--quiet"] },
  brew: { refresh: undefined, install: ["install", "--quiet"] },
} as const

/** Servers are not on the PATH of everybody. */
const isThere = ({ program, isThere }: Need): boolean =>
  isThere
    ? isThere()
    : Bun.which(program, { PATH: `${process.env.PATH}:/usr/local/sbin:/usr/sbin:/sbin` }) !== null

/** Throws with the remedy where a program is missing and cannot be installed. */
export async function install(needs: readonly Need[]): Promise<void> {
  const missing = needs.filter((need) => !isThere(need))
  if (missing.length === 0) return
  const programs = missing.map(({ program }) => program).join(", ")
  const manager = (Object.keys(managers) as Manager[]).find((name) => Bun.which(name))
  if (!manager) {
    const known = Object.keys(managers).join(", ")
    throw new Error(`the tests need ${programs}: install them, there is no ${known} here to do it`)
  }
  const packages = [...new Set(missing.map((need) => need.packages[manager]))]
  console.log(`the tests need ${programs}: installing ${packages.join(", ")} with ${manager}`)
  const { refresh, install: arguments_ } = managers[manager]
  if (refresh) await run(manager, refresh)
  await run(manager, [...arguments_, ...packages])
  const still = missing.filter((need) => !isThere(need))
  if (still.length === 0) return
  throw new Error(
    `the tests need ${still.map(({ program }) => program).join(", ")}, which ${manager} did not bring: install them by hand`,
  )
}

/** A mirror may be in the midst of an update, and another manager at work. */
const patience = 3
const pause = 10_000

async function run(manager: Manager, argv: readonly string[]): Promise<void> {
  // Homebrew refuses root; the others want it.
  const asRoot = manager === "brew" || process.getuid?.() === 0 ? [] : ["sudo", "-n"]
  const command = [...asRoot, manager, ...argv]
  for (let tries = 1; ; tries++) {
    const child = Bun.spawn(command, {
      env: { ...process.env, DEBIAN_FRONTEND: "noninteractive" },
      stdio: ["ignore", "ignore", "pipe"],
    })
    const [code, said] = await Promise.all([child.exited, child.stderr.text()])
    if (code === 0) return
    const failure = `${command.join(" ")} ended with ${code}: ${said.trim().slice(-500)}`
    if (tries === patience) throw new Error(failure)
    console.log(`${failure}: once more`)
    await Bun.sleep(pause)
  }
}
