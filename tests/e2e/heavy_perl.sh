#!/bin/sh
# perl with millions of small values.
. "$(dirname "$0")/lib.sh"
need perl
export PERL_HASH_SEED=0
identical perl -e 'my (%h, @l);
for my $t (1 .. 30) {
	for my $i (1 .. 40000) { my $w = join "", map { chr(97 + ($i * $_ + $t) % 26) } 1 .. 5;
		$h{$w} .= "$i,"; push @l, [$w, $i] }
	@l = (sort { $a->[0] cmp $b->[0] || $a->[1] <=> $b->[1] } @l)[0 .. 9999];
}
print scalar(keys %h), " $l[77][0]\n"; exit 3'
pass
