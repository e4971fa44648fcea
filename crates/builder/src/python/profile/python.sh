# Sourced at the start of every dyno: the app's Python comes first, and web servers learn how much there is.
export PATH="${HOME}/.heroku/python/bin:${PATH}"
export PYTHONUNBUFFERED=true
export LANG="${LANG:-en_US.UTF-8}"
export PYTHONPATH="${PYTHONPATH:-${HOME}}"
export LIBRARY_PATH="${HOME}/.heroku/python/lib${LIBRARY_PATH:+:${LIBRARY_PATH}}"
export LD_LIBRARY_PATH="${HOME}/.heroku/python/lib${LD_LIBRARY_PATH:+:${LD_LIBRARY_PATH}}"
if [[ -d "${HOME}/.heroku/nltk_data" ]]; then
  export NLTK_DATA="${NLTK_DATA:-${HOME}/.heroku/nltk_data}"
fi

# WEB_CONCURRENCY: processes of a web server. As many as memory (256 MB each) and cores (2 each and one) allow.
renga_python_concurrency() {
  local limit="" file megabytes cores by_memory by_cores say=":"
  [[ "${DYNO:-}" == web.* ]] && say="echo"
  for file in /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max; do
    if [[ -r "${file}" ]]; then
      limit="$(<"${file}")"
      break
    fi
  done
  # No file, `max`, and the kernel's "no limit" all mean that nothing is known.
  if [[ ! "${limit}" =~ ^[0-9]+$ ]] || (( ${#limit} > 15 )); then
    "${say}" "Python buildpack: Couldn't determine available memory. Skipping automatic configuration of WEB_CONCURRENCY."
    return 0
  fi
  megabytes=$(( limit / 1048576 ))
  cores="$(nproc 2>/dev/null || echo 1)"
  export DYNO_RAM="${megabytes}"
  "${say}" "Python buildpack: Detected ${megabytes} MB available memory and ${cores} CPU cores."
  if [[ -v WEB_CONCURRENCY ]]; then
    "${say}" "Python buildpack: Skipping automatic configuration of WEB_CONCURRENCY since it's already set."
    return 0
  fi
  by_memory=$(( megabytes / 256 ))
  (( by_memory < 1 )) && by_memory=1
  by_cores=$(( 2 * cores + 1 ))
  export WEB_CONCURRENCY_SET_BY="heroku/python"
  if (( by_memory < by_cores )); then
    export WEB_CONCURRENCY="${by_memory}"
    "${say}" "Python buildpack: Defaulting WEB_CONCURRENCY to ${by_memory} based on the available memory."
  else
    export WEB_CONCURRENCY="${by_cores}"
    "${say}" "Python buildpack: Defaulting WEB_CONCURRENCY to ${by_cores} based on the number of CPU cores."
  fi
}
renga_python_concurrency
unset -f renga_python_concurrency
