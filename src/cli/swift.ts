/**
 * The executable starts reluctant to compile (`--compile-jit-policy` of package.json): a `tq push` is over before compiled code pays
 * back what its making costs. Measured: 2.5 ms of the 14.7 ms of processor time of a push.
 */

/** For whatever runs longer than a moment: code that is called often is compiled, as usual. */
export function becomeSwift(): void {
  Bun.unsafe.setJITPolicy(1)
}
