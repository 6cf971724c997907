/** Certificates for one test server: a CA, the server's for 127.0.0.1, and one for its clients. */
import { mkdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"

export interface Certificates {
  readonly ca: string
  readonly cert: string
  readonly key: string
  readonly clientCert: string
  readonly clientKey: string
}

/** Writes them into the folder, valid for two days. */
export function makeCertificates(folder: string): Certificates {
  mkdirSync(folder, { recursive: true })
  const path = (name: string) => join(folder, name)
  const names = path("names")
  writeFileSync(names, "subjectAltName=IP:127.0.0.1,DNS:localhost\n")
  const fresh = (name: string) => [
    "-newkey",
    "ec",
    "-pkeyopt",
    "ec_paramgen_curve:P-256",
    "-nodes",
    "-keyout",
    path(`${name}.key`),
  ]
  const ca = ["-CA", path("ca.crt"), "-CAkey", path("ca.key"), "-CAcreateserial", "-days", "2"]
  openssl(["req", "-x509", ...fresh("ca"), "-days", "2", "-subj", "/CN=test CA", "-out", path("ca.crt")])
  for (const name of ["server", "client"]) {
    openssl(["req", ...fresh(name), "-subj", `/CN=${name}`, "-out", path(`${name}.csr`)])
    openssl([
      "x509",
      "-req",
      "-in",
      path(`${name}.csr`),
      ...ca,
      "-extfile",
      names,
      "-out",
      path(`${name}.crt`),
    ])
  }
  return {
    ca: path("ca.crt"),
    cert: path("server.crt"),
    key: path("server.key"),
    clientCert: path("client.crt"),
    clientKey: path("client.key"),
  }
}

function openssl(argv: readonly string[]): void {
  const { exitCode, stderr } = Bun.spawnSync(["openssl", ...argv])
  if (exitCode !== 0) throw new Error(`openssl ${argv.join(" ")}: ${stderr}`)
}
