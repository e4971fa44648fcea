#compdef renga
# zsh completion of renga: put it as _renga into a directory of $fpath.
_renga() {
    local -a found
    local word about
    while IFS=$'\t' read -r word about; do
        found+=("${word//:/\\:}:$about")
    done < <("${words[1]}" complete -- "${(@)words[2,CURRENT]}" 2>/dev/null)
    _describe renga found || _files
}
if [ "$funcstack[1]" = _renga ]; then _renga "$@"; else compdef _renga renga; fi
