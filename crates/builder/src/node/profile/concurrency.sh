# Sourced at the start of every dyno: how many processes of WEB_MEMORY megabytes fit into its memory.
renga_node_concurrency() {
  local limit="" file
  for file in /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max; do
    if [[ -r "${file}" ]]; then
      limit="$(<"${file}")"
      break
    fi
  done
  # No file, `max`, and the kernel's "no limit" all mean that nothing is known.
  if [[ ! "${limit}" =~ ^[0-9]+$ ]] || (( ${#limit} > 15 )); then
    limit=$(( 512 * 1048576 ))
  fi
  export MEMORY_AVAILABLE="${MEMORY_AVAILABLE-$(( limit / 1048576 ))}"
  if (( MEMORY_AVAILABLE > 16384 )); then
    export WEB_MEMORY="${WEB_MEMORY-2048}"
  else
    export WEB_MEMORY="${WEB_MEMORY-512}"
  fi
  if [[ -z "${WEB_CONCURRENCY+set}" ]]; then
    export WEB_CONCURRENCY_SET_BY="heroku/nodejs"
    export WEB_CONCURRENCY=$(( MEMORY_AVAILABLE / WEB_MEMORY ))
    (( WEB_CONCURRENCY < 1 )) && export WEB_CONCURRENCY=1
    if (( WEB_CONCURRENCY > 200 )); then
      echo "Could not determine a reasonable value for WEB_CONCURRENCY. Setting it to 1."
      export WEB_CONCURRENCY=1
    fi
  fi
}
renga_node_concurrency
unset -f renga_node_concurrency
