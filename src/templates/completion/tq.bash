# Completion of tq for bash: source <(tq completion bash)

_tq() {
  local cur=${COMP_WORDS[COMP_CWORD]} words=() line i
  # Bash takes --status=failed for three words; tq wants it whole.
  for ((i = 1; i <= COMP_CWORD; i++)); do
    if [[ ${#words[@]} -gt 0 && (${COMP_WORDS[i]} == = || ${words[${#words[@]} - 1]} == --*=) ]]; then
      words[${#words[@]} - 1]+=${COMP_WORDS[i]}
    else
      words+=("${COMP_WORDS[i]}")
    fi
  done
  [[ $cur == = ]] && cur=
  COMPREPLY=()
  if [[ ${COMP_WORDS[COMP_CWORD - 1]} == -- ]]; then
    mapfile -t COMPREPLY < <(compgen -c -- "$cur")
    return
  fi
  while IFS= read -r line; do
    line=${line%%$'\t'*}
    [[ $line != :* && $line == "$cur"* ]] && COMPREPLY+=("$line")
  done < <(tq completion complete -- "${words[@]}" 2>/dev/null)
}

# What tq does not know may be a file.
complete -o default -F _tq tq
