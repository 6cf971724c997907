/** An argument as a shell would need it, so that it can be copied. */
export const quoted = (argument: string): string =>
  /^[A-Za-z0-9_@%+=:,./-]+$/.test(argument) ? argument : `'${argument.replaceAll("'", "'\\''")}'`

/** A whole command line. */
export const commandLine = (argv: readonly string[]): string => argv.map(quoted).join(" ")
