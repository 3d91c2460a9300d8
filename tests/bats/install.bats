#!/usr/bin/env bats
# make install, the manual pages and the lists in the README.

load helper

@test "make install puts everything under DESTDIR and PREFIX, make uninstall takes it away" {
	local tool
	make -s -C "$repo" B="$B" PREFIX=/usr DESTDIR="$PWD/dest" install
	for tool in "$repo"/tools/mr-*.c; do
		tool=$(basename "$tool" .c)
		[ -x "dest/usr/bin/$tool" ]
		[ -f "dest/usr/share/man/man1/$tool.1" ]
	done
	[ -f dest/usr/share/man/man5/mr-records.5 ]
	[ -f dest/usr/share/man/man7/meta-rewarding.7 ]
	[ -x dest/usr/share/meta-rewarding/pipelines/spread.sh ]
	[ -f dest/usr/share/meta-rewarding/pipelines/meta-rewarding.mk ]
	[ -f dest/usr/share/meta-rewarding/pipelines/recipes/paper.conf ]
	[ -f dest/usr/share/meta-rewarding/examples/prompts.jsonl ]
	dest/usr/bin/mr-sample --version | grep -q '^mr-sample '

	make -s -C "$repo" B="$B" PREFIX=/usr DESTDIR="$PWD/dest" uninstall
	[ -z "$(find dest -type f)" ]
}

@test "the installed pipelines find the installed tools and examples" {
	make -s -C "$repo" B="$B" PREFIX=/usr DESTDIR="$PWD/dest" install
	PATH=$PWD/dest/usr/bin:/usr/bin:/bin
	dest/usr/share/meta-rewarding/pipelines/judge-seed.sh >seed.jsonl
	[ "$(wc -l <seed.jsonl)" -eq "$(wc -l <"$repo/examples/judge-seed.jsonl")" ]
	make -f dest/usr/share/meta-rewarding/pipelines/meta-rewarding.mk RUN=run CONF=tiny run/iter2/prompts.jsonl
	[ "$(wc -l <run/iter2/prompts.jsonl)" -eq 4 ]
}

@test "every tool has a manual page, and all pages format without a warning" {
	local page tool
	for tool in "$repo"/tools/mr-*.c; do
		[ -f "$repo/man/man1/$(basename "$tool" .c).1" ] || { echo "no page for $tool"; return 1; }
	done
	for page in "$repo"/man/man*/*; do
		run env LC_ALL=C.UTF-8 MANWIDTH=100 man --warnings -E UTF-8 -l "$page"
		assert_success
		LC_ALL=C.UTF-8 MANWIDTH=100 man --warnings -E UTF-8 -l "$page" 2>err >/dev/null
		[ ! -s err ] || { echo "$page:"; cat err; return 1; }
	done
}

@test "the pages refer only to pages that are there" {
	local name section
	grep -hoE '^\.BR (mr[a-z\\-]+|meta\\-rewarding) \([157]\)' "$repo"/man/man*/* | tr -d '\\' | sort -u |
		sed -E 's/^\.BR ([a-z-]+) \(([157])\)/\1 \2/' >references
	[ -s references ]
	while read -r name section; do
		[ -f "$repo/man/man$section/$name.$section" ] || { echo "$name($section) is not there"; return 1; }
	done <references
}

@test "the README and the workflow's page name every tool" {
	local tool
	for tool in "$repo"/tools/mr-*.c; do
		tool=$(basename "$tool" .c)
		grep -q "^| \`$tool\` |" "$repo/README.md"
		grep -qF ".BR ${tool/-/\\-} (1)" "$repo/man/man7/meta-rewarding.7" || { echo "$tool"; return 1; }
	done
}

@test "the examples are as many and as varied as they say" {
	[ "$(jq -r .category "$repo/examples/prompts.jsonl" | sort -u | wc -l)" -ge 10 ]
	[ "$(wc -l <"$repo/examples/prompts.jsonl")" -ge 40 ]
	[ -z "$(jq -r .id "$repo/examples/prompts.jsonl" | sort | uniq -d)" ]
	[ "$(wc -l <"$repo/examples/judge-seed.jsonl")" -ge 24 ]
	# every score from 0 to 5, several times, each at the very end of its judgment
	jq -r '.judgment | capture("\n\nScore: (?<score>[0-5])$").score' "$repo/examples/judge-seed.jsonl" >scores
	[ "$(wc -l <scores)" -eq "$(wc -l <"$repo/examples/judge-seed.jsonl")" ]
	[ "$(sort scores | uniq -c | awk '$1 >= 3' | wc -l)" -eq 6 ]
}
