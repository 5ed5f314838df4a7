package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unicode/utf8"

	"golang.org/x/term"

	"github.com/abilian/hop3/hop3/api"
	"github.com/abilian/hop3/hop3/client"
)

// top is `top`: at a terminal it goes on until q or Ctrl-C, elsewhere, and with
// --once or --json, it is the server's command.
func top(ctx context.Context, p *program, args []string) error {
	once, args := toggle(args, "--once")
	text, args, err := option(args, "--interval")
	if err != nil {
		return err
	}
	interval := time.Second
	if text != "" {
		if interval, err = parseInterval(text); err != nil {
			return err
		}
	}
	words := append([]string{"top"}, args...)
	if p.flags.json {
		return p.remote(ctx, append(words, "--raw"))
	}
	out, ok := p.Out.(*os.File)
	if once || !ok || !term.IsTerminal(int(out.Fd())) {
		return p.remote(ctx, words)
	}
	if words, err = p.addApp(words); err != nil {
		return err
	}
	c, err := p.connect()
	if err != nil {
		return err
	}
	// Whatever ends this program, the terminal is given back as it was.
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	s := &screen{out: out, color: p.printer.color, title: "hop3 top", interval: interval}
	if p.flags.app != "" {
		s.title += " " + p.flags.app
	}
	return s.run(ctx, p.In, func(ctx context.Context) (client.Result, error) { return c.Call(ctx, words, api.Extra{}, nil) })
}

// parseInterval reads a number of seconds, or a time as "500ms".
func parseInterval(text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if err != nil {
		d, err = time.ParseDuration(text + "s")
	}
	if err != nil || d < 200*time.Millisecond || d > time.Hour {
		return 0, exitf(api.ExitUsage, "--interval wants seconds, from 0.2 to 3600, not %q", text)
	}
	return d, nil
}

// screen shows a table that changes, in place of what the terminal showed.
type screen struct {
	out      *os.File
	color    bool
	title    string
	interval time.Duration

	items   []api.Item // the last answer
	trouble string     // why there is no newer one
}

// The words of a terminal: another screen, without cursor, and back.
const (
	enterScreen = "\x1b[?1049h\x1b[?25l"
	leaveScreen = "\x1b[?25h\x1b[?1049l"
	home        = "\x1b[H"
	endOfLine   = "\x1b[K\r\n"
	restOfAll   = "\x1b[K\x1b[J"
)

// run shows what call answers, again and again, until the user has enough.
// What the server refuses ends it; a server that cannot be reached is tried
// again.
func (s *screen) run(ctx context.Context, in io.Reader, call func(context.Context) (client.Result, error)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	first, err := call(ctx)
	if err != nil { // as any command's
		return err
	}
	s.items = first.Items
	restore, err := s.keys(in, cancel)
	if err != nil {
		return err
	}
	defer restore()
	fmt.Fprint(s.out, enterScreen)
	defer fmt.Fprint(s.out, leaveScreen)
	sizes, stop := sizeChanges()
	defer stop()
	tick := time.NewTicker(s.interval)
	defer tick.Stop()
	for {
		s.draw()
		select {
		case <-ctx.Done():
			return nil
		case <-sizes:
		case <-tick.C:
			if err := s.refresh(ctx, call); err != nil {
				return err
			}
		}
	}
}

func (s *screen) refresh(ctx context.Context, call func(context.Context) (client.Result, error)) error {
	got, err := call(ctx)
	var gone *client.Unreachable
	switch {
	case ctx.Err() != nil:
		return nil
	case errors.As(err, &gone):
		s.trouble = clean(err.Error())
		return nil
	case err != nil:
		return err
	}
	s.items, s.trouble = got.Items, ""
	return nil
}

// keys has q, Ctrl-C and Ctrl-D end it. Nothing that is typed is shown.
func (s *screen) keys(in io.Reader, end func()) (restore func(), err error) {
	f, ok := in.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return func() {}, nil
	}
	before, err := term.MakeRaw(int(f.Fd()))
	if err != nil {
		return nil, err
	}
	go func() {
		var key [16]byte
		for {
			n, err := f.Read(key[:])
			if err != nil || bytes.ContainsAny(key[:n], "qQ\x03\x04") {
				end()
				return
			}
		}
	}()
	return func() { _ = term.Restore(int(f.Fd()), before) }, nil // it is gone, or as it was
}

// draw writes the whole screen in one piece, over what is there.
func (s *screen) draw() {
	rows, columns := 24, 80
	if size, ok := sizeOf(s.out); ok {
		rows, columns = int(size[0]), int(size[1])
	}
	var b bytes.Buffer
	b.WriteString(home)
	lines := s.lines(rows - 1)
	for i, line := range lines {
		line = cut(line, columns)
		if s.color && i == 2 && s.table() != nil {
			line = "\x1b[7m" + line + strings.Repeat(" ", max(0, columns-utf8.RuneCountInString(line))) + "\x1b[0m"
		}
		b.WriteString(line + endOfLine)
	}
	b.WriteString(restOfAll)
	_, _ = s.out.Write(b.Bytes()) // a terminal that is gone ends this by a signal
}

// lines returns at most so many lines: a title, the table, and what else there
// is to say.
func (s *screen) lines(most int) []string {
	lines := []string{fmt.Sprintf("%s   the last 10 s, every %s   q ends", s.title, seconds(s.interval)), ""}
	if s.trouble != "" {
		lines[1] = s.trouble
	}
	table := s.table()
	if table == nil {
		return lines
	}
	lines = append(lines, numbers(table.Headers, table.Rows)...)
	if len(lines) > most {
		hidden := len(lines) - most + 1
		lines = append(lines[:max(0, most-1)], fmt.Sprintf("… %d more lines; a larger window shows them", hidden))
	}
	return lines
}

func (s *screen) table() *api.Item {
	if i := slices.IndexFunc(s.items, func(i api.Item) bool { return i.T == api.KindTable }); i >= 0 {
		return &s.items[i]
	}
	return nil
}

func seconds(d time.Duration) string {
	return strconv.FormatFloat(d.Seconds(), 'f', -1, 64) + " s"
}

func cut(line string, columns int) string {
	if utf8.RuneCountInString(line) <= columns {
		return line
	}
	return string([]rune(line)[:max(0, columns)])
}

// numbers lays out a table whose first column is names, and the others numbers.
func numbers(headers []string, rows [][]any) (lines []string) {
	grid := [][]string{cells(headers)}
	for _, row := range rows {
		grid = append(grid, cells(row))
	}
	widths := make([]int, len(headers))
	for _, row := range grid {
		for i := range min(len(row), len(widths)) {
			widths[i] = max(widths[i], utf8.RuneCountInString(row[i]), 6)
		}
	}
	for _, row := range grid {
		var b strings.Builder
		for i := range min(len(row), len(widths)) {
			pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(row[i]))
			if i == 0 {
				b.WriteString(row[i] + pad)
			} else {
				b.WriteString("  " + pad + row[i])
			}
		}
		lines = append(lines, strings.TrimRight(b.String(), " "))
	}
	return lines
}
