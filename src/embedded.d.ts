/** Files that the build embeds as text (`with { type: "text" }`). */
declare module "*.sql" {
  const text: string
  export default text
}

declare module "*.sh" {
  const text: string
  export default text
}

declare module "*.yaml" {
  const text: string
  export default text
}

declare module "*.toml" {
  const text: string
  export default text
}

declare module "*.service" {
  const text: string
  export default text
}

declare module "*.bash" {
  const text: string
  export default text
}

declare module "*.zsh" {
  const text: string
  export default text
}

declare module "*.fish" {
  const text: string
  export default text
}

declare module "*.txt" {
  const text: string
  export default text
}

declare module "*.lua" {
  const text: string
  export default text
}
