# Completion of tq for fish: tq completion fish > ~/.config/fish/completions/tq.fish

function __tq_complete
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    # --status=failed: fish wants the whole word back.
    set -l flag (string match -r -- '^--[^=]*=' $current)
    for line in (tq completion complete -- $words[2..-1] "$current" 2>/dev/null)
        string match -q -r '^:\d+$' -- $line; or echo "$flag$line"
    end
end

# Handlers, programs and paths are files; elsewhere tq knows better.
function __tq_wants_files
    set -l words (commandline -opc)
    contains -- -- $words; and return 0
    test "$words[2]" = work; and not string match -q -- '-*' (commandline -ct); and return 0
    string match -q -r '^(\.|/|~)' -- (commandline -ct)
end

complete -c tq -e
complete -c tq -n 'not __tq_wants_files' -f -a '(__tq_complete)'
complete -c tq -n __tq_wants_files -F
