package cli

import (
	"bytes"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"unicode/utf8"

	"golang.org/x/term"
)

// paged lets write show something on the output: by a pager when that is a
// terminal and it would not fit on it.
func (p *program) paged(write func()) {
	rows, columns, ok := p.pageSize()
	if !ok {
		write()
		return
	}
	var text bytes.Buffer
	out := p.printer.out
	p.printer.out = &text
	write()
	p.printer.out = out
	if height(text.String(), columns) < rows || !p.page(text.Bytes()) {
		_, _ = out.Write(text.Bytes()) // a the end of the program says what went wrong
	}
}

// pageSize is the size of the terminal that a pager would fill; ok is false
// where there is none, or none is wanted.
func (p *program) pageSize() (rows, columns int, ok bool) {
	out, isFile := p.Out.(*os.File)
	if !isFile || p.flags.json || p.flags.noPager || p.flags.noInput || p.getenv("TERM") == "dumb" {
		return 0, 0, false
	}
	columns, rows, err := term.GetSize(int(out.Fd()))
	return rows, columns, err == nil && rows > 1 && columns > 0
}

// height is how many lines of a terminal a text takes.
func height(text string, columns int) int {
	n := 0
	for line := range strings.Lines(text) {
		shown := utf8.RuneCountInString(style.ReplaceAllString(strings.TrimSuffix(line, "\n"), ""))
		n += max(1, (shown+columns-1)/columns)
	}
	return n
}

// pager is the program that shows long texts, nil for none.
func (p *program) pager() []string {
	for _, name := range []string{"HOP3_PAGER", "PAGER"} {
		words := strings.Fields(p.getenv(name))
		if len(words) > 0 {
			if words[0] == "cat" {
				return nil
			}
			return words
		}
	}
	if runtime.GOOS == "windows" {
		return nil // `more` knows neither colours nor UTF-8
	}
	return []string{"less"}
}

// page shows a text by the pager, and reports false when there is none.
func (p *program) page(text []byte) bool {
	words := p.pager()
	if words == nil {
		return false
	}
	cmd := exec.Command(words[0], words[1:]...) // it has Ctrl-C for itself
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(text), p.Out, p.Err
	cmd.Env = os.Environ()
	if p.getenv("LESS") == "" {
		cmd.Env = append(cmd.Env, "LESS=FRX") // colours, and no page for what fits
	}
	if err := cmd.Start(); err != nil {
		return false
	}
	_ = cmd.Wait() // how a pager was left is no error of ours
	return true
}
