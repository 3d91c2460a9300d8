# For the tests that need servers: load servers.

# server NAME [OPTION]...: starts one, its port in the variable NAME, its
# process in NAME_pid. It ends with the test, or after its lifetime.
server() {
	local file=$BATS_TEST_TMPDIR/port.$1.$RANDOM name=$1
	shift
	"$B/helper/server" --port-file "$file" --lifetime 120 "$@" >/dev/null 3>&- &
	printf -v "${name}_pid" %s $!
	servers+=($!)
	until [ -e "$file" ]; do
		kill -0 "${servers[-1]}" || return
		sleep 0.02
	done
	printf -v "$name" %s "$(<"$file")"
}

teardown() {
	local p
	for p in "${servers[@]}"; do kill "$p" 2>/dev/null || true; done
	# also of the leaks that a sanitizer finds
	for p in "${servers[@]}"; do wait "$p" || [ $? -ne 86 ]; done
}
