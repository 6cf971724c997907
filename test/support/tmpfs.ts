/** A small disk of its own, to fill. Needs the right to mount: without it the test fails, since a skipped one proves nothing. */
import { mkdirSync } from "node:fs"

export class SmallDisk implements Disposable {
  readonly path: string

  /** @param size as mount(8) takes it: `600k` */
  constructor(path: string, size: string) {
    this.path = path
    mkdirSync(path)
    run(["mount", "-t", "tmpfs", "-o", `size=${size}`, "tmpfs", path])
  }

  /** Leaves no byte free. */
  fill(): void {
    Bun.spawnSync(["dd", "if=/dev/zero", `of=${this.path}/fill`, "bs=1k"], { stderr: "ignore" })
  }

  [Symbol.dispose](): void {
    run(["umount", "--lazy", this.path])
  }
}

function run(argv: string[]): void {
  const { exitCode, stderr } = Bun.spawnSync(argv)
  if (exitCode !== 0) throw new Error(`${argv.join(" ")}: ${stderr}`)
}
