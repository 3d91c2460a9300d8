#!/bin/bash
# lint.sh COMPILER-FLAGS...
#
# Runs the checkers that are installed over the C code, the scripts and the
# manual pages. Status 1 where one of them has something to say.
set -u
cd "$(dirname "$0")/.." || exit 1
shopt -s nullglob

flags=("$@" -Itests)
code=(lib/*/*.c lib/*/*/*.c tools/*.c tests/unit/*.c tests/helper/*.c tests/helper/*/*.c tests/fuzz/*.c tests/bench/*.c)
scripts=(pipelines/*.sh examples/*.sh tests/*.sh .ci/run)
bats_files=(tests/bats/*.bats tests/bats/*.bash)
pages=(man/man*/*.[157])
status=0

# Without what would be noise here: the analyzer does not see that an err_set
# in another file returns -1, and takes the paths that this rules out.
tidy_checks='-*,bugprone-*,clang-analyzer-deadcode.*,clang-analyzer-unix.*,clang-analyzer-security.FloatLoopCounter'
for noise in easily-swappable-parameters narrowing-conversions reserved-identifier assignment-in-if-condition \
	implicit-widening-of-multiplication-result sizeof-expression misplaced-widening-cast macro-parentheses \
	not-null-terminated-result suspicious-missing-comma suspicious-memory-comparison; do
	tidy_checks+=,-bugprone-$noise
done
tidy_checks+=,-clang-analyzer-unix.Malloc

# check NAME COMMAND...: runs it where the program is there
check()
{
	local name=$1
	shift
	if ! command -v "$name" >/dev/null; then
		echo "lint: $name is not installed, left out"
		return
	fi
	echo "lint: $name"
	"$@" || status=1
}

# A few files each, as many at a time as there are CPUs; without the count of
# what was found in other people's headers and left out.
tidy()
{
	printf '%s\0' "${code[@]}" | xargs -0 -n 8 -P "$(nproc)" bash -c '
		n=$1
		clang-tidy --quiet --warnings-as-errors="*" "${@:n + 2}" -- "${@:2:n}"' \
		tidy $((${#flags[@]})) "${flags[@]}" --checks="$tidy_checks" 2> >(grep -vE ' warnings? generated\.$' >&2)
}

long_lines()
{
	local file found=1
	for file in "${code[@]}" lib/*/*.h lib/*/*/*.h tests/unit/*.h; do
		expand -t 4 "$file" | LC_ALL=C.UTF-8 grep -nE '^.{121}' | sed "s|^|$file:|;s|\$| (longer than 120 columns)|" |
			grep . && found=0
	done
	[ "$found" -eq 1 ]
}

manual_pages()
{
	local page found bad=0
	for page in "${pages[@]}"; do
		found=$(LC_ALL=C.UTF-8 MANWIDTH=100 man --warnings -E UTF-8 -l "$page" 2>&1 >/dev/null)
		[ -z "$found" ] || { echo "$page: $found"; bad=1; }
	done
	return "$bad"
}

((${#code[@]} == 0)) || {
	check cppcheck cppcheck --quiet --std=c11 --inline-suppr --error-exitcode=1 \
		--enable=warning,portability --suppress=missingIncludeSystem --suppress=unknownMacro --suppress=uninitvar --suppress=legacyUninitvar --suppress=ctunullpointer --suppress=unknownEvaluationOrder \
		-Ilib -Itests "${code[@]}"
	check clang-tidy tidy
}
check shellcheck shellcheck --severity=warning "${scripts[@]}"
((${#bats_files[@]} == 0)) || check shellcheck shellcheck --severity=error "${bats_files[@]}"
check man manual_pages
check expand long_lines
exit $status
