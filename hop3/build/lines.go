package build

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"regexp"
	"strings"
	"unicode"
)

const (
	readSize = 64 << 10
	maxLine  = 2000
)

// eachLine calls f with every line of r, fit to be shown, until r ends. Of a
// very long line only the beginning is kept.
func eachLine(r io.Reader, f func(string)) error {
	in := bufio.NewReaderSize(r, readSize)
	cut := false
	for {
		chunk, err := in.ReadSlice('\n')
		if len(chunk) > 0 && !cut {
			f(clean(string(lastFrame(chunk))))
		}
		cut = errors.Is(err, bufio.ErrBufferFull)
		if err != nil && !cut {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
	}
}

// lastFrame is what a terminal would show of a line that a progress bar wrote
// over with carriage returns.
func lastFrame(line []byte) []byte {
	line = bytes.TrimRight(line, "\r\n")
	if i := bytes.LastIndexByte(line, '\r'); i >= 0 {
		return line[i+1:]
	}
	return line
}

// escape matches terminal sequences: CSI, OSC with its text, and two-character
// ones.
var escape = regexp.MustCompile("\x1b\\[[0-?]*[ -/]*[@-~]|\x1b\\][^\x07\x1b]*(\x07|\x1b\\\\)?|\x1b[ -/]*[0-~]")

// clean returns text without what could act on a reader's terminal, cut to a
// sane length.
func clean(text string) string {
	text = strings.ToValidUTF8(escape.ReplaceAllString(text, ""), "\ufffd")
	text = strings.Map(func(r rune) rune {
		switch {
		case r == '\t':
			return ' '
		case unicode.IsControl(r), unicode.Is(unicode.Bidi_Control, r):
			return -1
		}
		return r
	}, text)
	if len(text) > maxLine {
		text = strings.ToValidUTF8(text[:maxLine], "") + "…"
	}
	return text
}
