#!/bin/sh
# ImageMagick: large blocks, OpenMP threads.
. "$(dirname "$0")/lib.sh"
convert=$(command -v convert-im6.q16 || command -v convert-im6.q16hdri) || skip "imagemagick is not installed"
identical "$convert" -size 900x700 plasma:fractal -seed 7 -define png:exclude-chunks=date,time -resize 300% -blur 0x3 \
	-colors 64 -rotate 33 -format '%w %h %m\n' info:
identical "$convert" -size 640x480 gradient:red-blue -swirl 90 -resize 200% rgb:-
pass
