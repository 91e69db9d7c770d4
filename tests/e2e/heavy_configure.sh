#!/bin/sh
# What a ./configure script does: hundreds of short programs, here documents, subshells, pipelines,
# temporary files, background jobs and traps, by bash and by dash.
. "$(dirname "$0")/lib.sh"
need bash gcc sed awk
cat >configure <<'SH'
# Looks at the system as autoconf's scripts do.
set -e
exec 5>config.log
tmp=conf$$
trap 'rm -rf $tmp' EXIT
trap 'exit 1' HUP INT TERM
mkdir $tmp
say() { echo "$@"; echo "$@" >&5; }
try_compile() {
	cat >$tmp/test.c
	(eval "${CC:-gcc} -o $tmp/test $tmp/test.c $1") >&5 2>&5 && test -x $tmp/test
}
for header in stdio.h stdlib.h string.h sys/mman.h no/such.h threads.h; do
	name=$(echo "have_$header" | sed 's/[^a-zA-Z0-9]/_/g' | tr a-z A-Z)
	if try_compile "" <<EOF
#include <$header>
int main(void) { return 0; }
EOF
	then answer=yes; echo "#define $name 1" >>$tmp/config.h
	else answer=no; echo "/* #undef $name */" >>$tmp/config.h
	fi
	say "checking for $header... $answer"
done
for function in malloc memfd_create no_such_function qsort; do
	try_compile "" <<EOF && answer=yes || answer=no
char $function(); int main(void) { return $function(); }
EOF
	say "checking for $function... $answer"
done
try_compile -lm <<'EOF'
#include <stdio.h>
int main(void) { printf("%d\n", (int)sizeof(long)); return 0; }
EOF
say "checking size of long... $($tmp/test)"
for tool in grep sed awk no-such-tool; do
	found=no
	IFS_saved=$IFS IFS=:
	for folder in $PATH; do
		IFS=$IFS_saved
		if test -x "$folder/$tool"; then found=yes; break; fi
	done
	IFS=$IFS_saved
	say "checking for $tool... $found"
done
i=0
while test $i -lt 120; do
	i=$(expr $i + 1)
	case `echo $i | sed 's/.*\(.\)$/\1/'` in
	[02468]) even="$even $i" ;;
	*) odd="$odd `basename /a/b/$i.c .c`" ;;
	esac
done
say "even: $even" | fold -w 60
say "odd: $odd" | awk '{ for (i = 1; i <= NF; i++) sum += $i } END { print "sum " sum }'
(sleep 0.1; echo late >$tmp/late) &
wait $!
cat $tmp/late
sed -e "s/@PREFIX@/\/usr\/local/g" -e 's/@N@/'"$i"'/' <<'EOF' | sort -r | uniq -c | tee $tmp/out | cksum
prefix=@PREFIX@
n=@N@
n=@N@
EOF
cp $tmp/config.h config.h
exec 5>&-
exit 4
SH
for shell in dash bash; do
	command -v $shell >/dev/null || continue
	identical $shell configure
	is "status" "$status" 4
	nothing_left
	# expr, sed, basename and the subshells around them; gcc with cc1, as, collect2 and ld.
	tree_whole 500
	is "expr" "$(query "SELECT count(*) FROM processes WHERE run_id = $last_run
		AND executable LIKE '%/expr'")" 120
	is "signals" "$(query "SELECT count(*) FROM processes WHERE run_id = $last_run AND exit_signal > 0")" 0
done
pass
