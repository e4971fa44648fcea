# bash completion of renga: put it where bash-completion looks, or source it.
_renga() {
    # Bash has broken the line at colons, too; what counts are blanks.
    local line=${COMP_LINE:0:COMP_POINT} words word found
    read -ra words <<<"$line"
    [[ $line == *[[:space:]] ]] && words+=("")
    word=${words[${#words[@]} - 1]}
    COMPREPLY=()
    while IFS=$'\t' read -r found _; do
        # What stands before the last colon is there already.
        [[ $word == *:* && $COMP_WORDBREAKS == *:* ]] && found=${found#"${word%:*}:"}
        COMPREPLY+=("$found")
    done < <("${words[0]}" complete -- "${words[@]:1}" 2>/dev/null)
}
complete -o default -F _renga renga
