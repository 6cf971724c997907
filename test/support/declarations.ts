/**
 * The declarations of the module "tq": made from what the compiler says of src/sdk.ts, in one file that needs no other.
 *
 *     bun run types      writes them anew; a test compares them with the sources
 *
 * They are kept twice: `src/sdk/tq.d.ts` for programs that install the package, and src/templates/tq.d.ts.txt, which `tq init --ts`
 * puts beside handler files, where nothing is installed.
 */
import { existsSync, readFileSync, writeFileSync } from "node:fs"
import { dirname, join, resolve } from "node:path"
import { tempFolder } from "./temp.ts"

const root = join(import.meta.dir, "..", "..")

/** One file as the compiler wrote it. */
interface Source {
  /** By name; with the comment before it. */
  readonly declared: ReadonlyMap<string, string>
  /** Names that come from other files. */
  readonly imported: ReadonlyMap<string, string>
}

interface Declaration {
  readonly name: string
  readonly text: string
  readonly path: string
}

/** The two files by their paths below the project. */
export async function declarations(): Promise<Readonly<Record<string, string>>> {
  const folder = tempFolder()
  try {
    await emit(folder.path)
    const entry = join(folder.path, "src", "sdk.d.ts")
    const exported = [...sourceAt(entry).imported.keys()]
    const needed = reachable(entry, exported)
    const texts = needed.map(({ name, text }) => declaration(text, exported.includes(name)))
    const body = `${texts.join("\n\n")}\n\nexport {}\n`
    return {
      "src/sdk/tq.d.ts": `/** The module "tq": tasks, and a client for programs. Made from src/sdk.ts by \`bun run types\`. */\n\n${body}`,
      "src/templates/tq.d.ts.txt": ambient(body),
    }
  } finally {
    folder.remove()
  }
}

/** Only what src/sdk.ts needs: other sources may hold what no declaration can be written of. */
async function emit(out: string): Promise<void> {
  const config = join(out, "tsconfig.json")
  const options = { noEmit: false, declaration: true, emitDeclarationOnly: true, outDir: out, rootDir: root }
  const compilerOptions = { ...options, typeRoots: [join(root, "node_modules")] }
  const files = ["src/sdk.ts", "src/embedded.d.ts"].map((path) => join(root, path))
  const extended = join(root, "tsconfig.json")
  writeFileSync(config, JSON.stringify({ extends: extended, compilerOptions, files, include: [] }))
  const tsc = Bun.spawn([join(root, "node_modules", ".bin", "tsc"), "-p", config], {
    stdout: "pipe",
    cwd: root,
  })
  const said = await tsc.stdout.text()
  // What it cannot declare of the sources behind it is no matter, as long as this file is there.
  if (!existsSync(join(out, "src", "sdk.d.ts")))
    throw new Error(`tsc ended with ${await tsc.exited}: ${said}`)
}

const sources = new Map<string, Source>()

function sourceAt(path: string): Source {
  const known = sources.get(path)
  if (known) return known
  const text = readFileSync(path, "utf8")
  const source = { declared: declaredIn(text), imported: importedIn(text, path) }
  sources.set(path, source)
  return source
}

/** What a file takes from others, be it to use it or to pass it on. */
function importedIn(text: string, path: string): ReadonlyMap<string, string> {
  const imports = text.matchAll(/^(?:import|export) (?:type )?\{([^}]*)\} from "(\.[^"]+)\.ts";$/gm)
  return new Map(
    [...imports].flatMap(([, names = "", module = ""]) => {
      const from = `${resolve(dirname(path), module)}.d.ts`
      return names.split(",").map((name): [string, string] => [name.trim().replace(/^type /, ""), from])
    }),
  )
}

/** A declaration begins in the first column, and ends with the line that is at the first column again and ends it. */
function declaredIn(text: string): ReadonlyMap<string, string> {
  const found = new Map<string, string>()
  let comment: string[] = []
  let code: string[] = []
  let name = ""
  for (const line of text.split("\n")) {
    const begins =
      /^(?:export )?(?:declare )?(?:abstract )?(?:interface|type|class|const|function) (\w+)/.exec(line)
    if (begins) name = begins[1]!
    if (begins || code.length > 0) code.push(line)
    else if (/^(\/\*\*| \*)/.test(line)) comment = line.startsWith("/**") ? [line] : [...comment, line]
    else comment = []
    if (code.length > 0 && /^\S.*[;}]$|^\}$/.test(line)) {
      found.set(name, [...comment, ...code].join("\n"))
      comment = []
      code = []
    }
  }
  return found
}

/** What is exported, and whatever that speaks of, in the order in which it is met. */
function reachable(entry: string, names: readonly string[]): readonly Declaration[] {
  const met = new Map<string, Declaration>()
  const visit = (name: string, path: string): void => {
    const { declared, imported } = sourceAt(path)
    const from = imported.get(name)
    if (from !== undefined) {
      visit(name, from)
      return
    }
    const text = declared.get(name)
    if (text === undefined) return
    const known = met.get(name)
    if (known && known.path !== path)
      throw new Error(`two declarations are called ${name}: ${path} and ${known.path}`)
    if (known) return
    met.set(name, { name, text, path })
    for (const [word] of spokenOf(text)) visit(word, path)
  }
  for (const name of names) visit(name, entry)
  return [...met.values()]
}

/** The words of a declaration that may be names of others: no comments, texts, or names of members. */
const spokenOf = (text: string) =>
  text
    .replace(/\/\*\*[\s\S]*?\*\//g, "")
    .replace(/"[^"\n]*"/g, "")
    .matchAll(/\b[A-Za-z]\w*\b(?!\??:)/g)

function declaration(text: string, isExported: boolean): string {
  const bare = text
    .replace(/^export /m, "")
    .replace(/;$/gm, "")
    .replace(/^( {4})+/gm, (indent) => indent.slice(indent.length / 2))
  return isExported
    ? bare.replace(/^(?=(?:declare|abstract|interface|type|class|const|function) )/m, "export ")
    : bare
}

/** For where no package is: whoever imports "tq" there is given these. */
function ambient(body: string): string {
  const inner = body.replace(/^((?:export )?)declare /gm, "$1").replace(/^(?=.)/gm, "  ")
  const head =
    '// The types of the module "tq", for editors. Written by tq init --ts: write it anew after an update of tq.'
  return `${head}\ndeclare module "tq" {\n${inner}}\n`
}

if (import.meta.main) {
  for (const [path, text] of Object.entries(await declarations())) writeFileSync(join(root, path), text)
}
