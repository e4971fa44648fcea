# fish completion of renga: put it into ~/.config/fish/completions.
function __renga_complete
    set -l before (commandline -opc)
    $before[1] complete -- $before[2..] (commandline -ct) 2>/dev/null
end
complete -c renga -f -a '(__renga_complete)'
