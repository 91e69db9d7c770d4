#!/bin/sh
# Interpreters with heaps, stacks and collectors of their own: ruby, php, lua, guile, emacs, vim.
. "$(dirname "$0")/lib.sh"
ran=0
has_tool() { command -v "$1" >/dev/null 2>&1 && ran=$((ran + 1)); }

if has_tool ruby; then
	identical ruby -e 'a = (1..60000).map { |i| "word #{i * 7919 % 10007}" }
h = a.group_by { |w| w[-2..] }; threads = 3.times.map { |t| Thread.new { a.map { |w| w * (t + 2) }.sum(&:size) } }
puts h.size, threads.sum(&:value), a.sort.join.hash.is_a?(Integer), a.sort[777]; GC.start; exit 5'
fi
if has_tool php; then
	identical php -r '$a = []; for ($i = 0; $i < 200000; $i++) { $a["k" . $i * 7919 % 10007][] = str_repeat("x", $i % 50); }
ksort($a); echo count($a), " ", md5(serialize($a)), "\n"; unset($a); preg_match_all("/o+/", str_repeat("foo boo ", 9999), $m);
echo count($m[0]), "\n"; exit(4);'
fi
if has_tool lua5.4; then
	identical lua5.4 -e 'local t = {} for i = 1, 300000 do local k = "k" .. i * 7919 % 10007; t[k] = (t[k] or "") .. "," .. i end
local n = 0 for _, v in pairs(t) do n = n + #v end print(n) collectgarbage() os.exit(6, true)'
fi
if has_tool guile; then
	identical guile --no-auto-compile -c '(let loop ((i 0) (l (quote ())))
(if (< i 200000) (loop (+ i 1) (if (zero? (modulo i 1000)) (list i) (cons (number->string i) l)))
(begin (display (length l)) (newline) (exit 7))))'
fi
if has_tool emacs; then
	identical emacs -Q --batch --eval '(let ((l nil)) (dotimes (i 60000) (push (format "%d-%s" i (make-string (% i 40) ?x)) l))
(with-temp-buffer (dolist (s l) (insert s "\n")) (sort-lines nil (point-min) (point-max)) (garbage-collect)
(princ (md5 (buffer-string)))) (kill-emacs 3))'
fi
if has_tool vim; then
	seq 20000 >numbers
	cat >edit.vim <<'VIM'
set nomore
%s/7/seven/g
g/99/m0
sort! n
let l = map(range(30000), 'repeat("x", v:val % 60)')
call writefile([len(join(l, "")), line('$'), getline(4321)], 'result')
w! edited
cquit 2
VIM
	vim -u NONE -i NONE -es -S edit.vim numbers </dev/null
	cat edited result >plain.edited
	[ "$(wc -l <plain.edited)" -gt 20000 ] || fail "vim alone wrote little"
	rm -f edited result
	identical vim -u NONE -i NONE -es -S edit.vim numbers
	cat edited result >edited.both
	same "vim: what it wrote" edited.both plain.edited
fi
[ $ran -gt 0 ] || skip "none of the interpreters is installed"
pass
