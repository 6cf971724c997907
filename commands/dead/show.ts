import show from "../show.ts"

export default {
  ...show,
  name: "dead show",
  usage: ["tq dead show ID"],
  examples: [
    "tq dead show 01JD8Q3T9V0000000000000000",
    "tq dead show 01JD8Q3T9V0000000000000000 --json | jq -r '.failures[].stderr'",
  ],
}
