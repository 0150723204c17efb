# shellcheck shell=bash
# What each shell script here begins with, before it does anything:
#
#   source scripts/begin.sh            --help prints the script's own head, and ends it
#   source scripts/begin.sh forward    likewise, and then the options of the program that it runs
#   needs_venv                         ends with one sentence where .venv is not set up

needs_venv() {
  [[ -x .venv/bin/python ]] || {
    echo "scripts/${0##*/} needs what is set up by: scripts/setup --test" >&2
    exit 1
  }
}

for word in "${@:2}"; do
  case $word in
    -h | --help)
      awk 'NR > 1 && !/^#/ { exit } NR > 1 { sub(/^# ?/, ""); print }' "scripts/${0##*/}"
      [[ $1 == forward && -x .venv/bin/python ]] || exit 0
      ;;
  esac
done
