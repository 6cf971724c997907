/**
 * An endpoint that speaks OpenAI's streaming chat completions, as far as tests need it. What it does with a request its model's name
 * says: `echo` repeats the prompt, `json` answers with a JSON text, and `busy`, `broken`, `refuse`, `hang`, `cut` and `slow` are
 * what endpoints do on bad days.
 */
export interface Asked {
  readonly model: string
  readonly prompt: string
  readonly system?: string
  readonly authorization: string | null
  readonly format?: unknown
  readonly maxTokens?: number
  readonly at: number
}

export class LlmServer implements AsyncDisposable {
  readonly asked: Asked[] = []
  readonly #server: Bun.Server<undefined>
  /** Streams that wait to be let go on. */
  readonly #held: (() => void)[] = []

  readonly #say: ((prompt: string) => string) | undefined

  /** @param say the answers of all models but those above */
  constructor(say?: (prompt: string) => string) {
    this.#say = say
    this.#server = Bun.serve({
      hostname: "127.0.0.1",
      port: 0,
      idleTimeout: 0,
      fetch: (request) => this.#answer(request),
    })
  }

  get url(): string {
    return `http://127.0.0.1:${this.#server.port}/v1`
  }

  /** Requests for this model so far. */
  of(model: string): Asked[] {
    return this.asked.filter((asked) => asked.model === model)
  }

  /** Lets `slow` answers go on. */
  goOn(): void {
    for (const release of this.#held.splice(0)) release()
  }

  get isHolding(): boolean {
    return this.#held.length > 0
  }

  async #answer(request: Request): Promise<Response> {
    if (new URL(request.url).pathname !== "/v1/chat/completions")
      return new Response("no such page", { status: 404 })
    const body = (await request.json()) as {
      model: string
      messages: { role: string; content: string }[]
      response_format?: unknown
      max_tokens?: number
    }
    const text = (role: string) => body.messages.find((message) => message.role === role)?.content
    const { model } = body
    const prompt = text("user") ?? ""
    const system = text("system")
    this.asked.push({
      model,
      prompt,
      authorization: request.headers.get("authorization"),
      at: performance.now(),
      ...(system !== undefined && { system }),
      ...(body.response_format !== undefined && { format: body.response_format }),
      ...(body.max_tokens !== undefined && { maxTokens: body.max_tokens }),
    })
    const times = this.of(model).length
    switch (model) {
      case "busy":
        return times <= 2
          ? problem(429, "too many requests", { "retry-after": "0.3" })
          : this.#stream(`after ${times}`)
      case "broken":
        return times <= 1 ? problem(503, "out of order", { "retry-after-ms": "50" }) : this.#stream("mended")
      case "refuse":
        return problem(401, "bad key")
      case "hang":
        return new Promise(() => undefined)
      case "cut":
        return times <= 1 ? this.#stream("half an ans", "cut") : this.#stream("whole")
      case "slow":
        return this.#stream("first second", "hold")
      case "malformed":
        return times <= 1 ? this.#stream('{"title": ') : this.#stream('{"title":"ok","score":7}')
      case "json":
        return this.#stream(prompt.includes("wrong") ? '{"title":5}' : '{"title":"ok","score":7}')
      default:
        return this.#stream(this.#say?.(prompt) ?? `echo: ${prompt}`)
    }
  }

  #stream(answer: string, how: "whole" | "cut" | "hold" = "whole"): Response {
    const words = answer.match(/\S+\s*|\s+/g) ?? []
    const line = (data: unknown) => `data: ${typeof data === "string" ? data : JSON.stringify(data)}\n\n`
    const chunk = (delta: object, finish: string | null = null) => ({
      id: "c",
      object: "chat.completion.chunk",
      created: 1,
      model: "test-model-1",
      choices: [{ index: 0, delta, finish_reason: finish }],
    })
    const hold = () => new Promise<void>((resolve) => this.#held.push(resolve))
    async function* events() {
      yield line(chunk({ role: "assistant", content: "" }))
      for (const word of words) {
        yield line(chunk({ content: word }))
        if (how === "hold") await hold()
      }
      if (how === "cut") return
      yield line(chunk({}, "stop"))
      const usage = { prompt_tokens: 11, completion_tokens: words.length, total_tokens: 11 + words.length }
      yield line({ ...chunk({}), choices: [], usage })
      yield line("[DONE]")
    }
    const encoder = new TextEncoder()
    const source = events()
    const body = new ReadableStream({
      async pull(controller) {
        const { done, value } = await source.next()
        if (done) controller.close()
        else controller.enqueue(encoder.encode(value))
      },
    })
    return new Response(body, { headers: { "content-type": "text/event-stream" } })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.goOn()
    await this.#server.stop(true)
  }
}

const problem = (status: number, message: string, headers: Record<string, string> = {}): Response =>
  Response.json({ error: { message, type: "test", code: null } }, { status, headers })
