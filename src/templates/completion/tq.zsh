#compdef tq
# Completion of tq for zsh: source <(tq completion zsh), or as _tq in a folder of $fpath

_tq() {
  if [[ ${words[CURRENT - 1]} == -- ]]; then
    _command_names -e
    return
  fi
  local line
  local -a found
  for line in "${(@f)$(tq completion complete -- "${(@)words[2,CURRENT]}" 2>/dev/null)}"; do
    [[ $line == :* || -z $line ]] && continue
    found+=("${${line%%$'\t'*}//:/\\:}:${line#*$'\t'}")
  done
  # --status=failed: only what stands behind the = is to be completed.
  compset -P '--*='
  if (( $#found )); then
    _describe 'tq' found
  else
    # What tq does not know may be a file.
    _files
  fi
}

if [[ ${funcstack[1]-} == _tq ]]; then
  _tq "$@"
else
  compdef _tq tq
fi
