package addons

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/abilian/hop3/hop3"
)

// pgScript reads plain SQL as pg_dump writes it: statements, and the rows that
// follow a COPY. It is not psql: of psql's own commands, which could run
// programs, it knows only those that pg_dump writes to switch them off.
type pgScript struct {
	in     *bufio.Reader
	line   int  // of the character that is read next, from 1
	dumped bool // the first comment that a dump has was there
	ended  bool // the last comment that only a whole dump has was there
	most   int  // the bytes a statement may have
}

func newPgScript(r io.Reader) *pgScript {
	return &pgScript{in: bufio.NewReaderSize(r, 128<<10), line: 1, most: pgMaxStatement}
}

const (
	// pgMaxStatement bounds what is held of a dump at once. Rows are not
	// statements.
	pgMaxStatement = 32 << 20
	pgDumpBegins   = "-- PostgreSQL database dump"
	pgWholeDump    = "-- PostgreSQL database dump complete"
)

// errorf says where a dump is not what it should be.
func (s *pgScript) errorf(format string, args ...any) error {
	return hop3.Errorf(hop3.CodeInvalid, "the dump cannot be restored: line %d: %s", s.line, fmt.Sprintf(format, args...)).
		WithHint(pgForms)
}

// pgScriptStatement is the text of the statement being read, and what of it decides
// where it ends.
type pgScriptStatement struct {
	text  strings.Builder
	words []string // the first, in capitals
	paren int
	block int // BEGIN ATOMIC … END, and CASE … END in it
}

// next returns the next statement without its ';', io.EOF after the last.
func (s *pgScript) next() (string, error) {
	var st pgScriptStatement
	for {
		c, err := s.byte()
		if errors.Is(err, io.EOF) {
			if strings.TrimSpace(st.text.String()) != "" {
				return "", s.errorf("%v", errPgCutOff)
			}
			return "", io.EOF
		} else if err != nil {
			return "", err
		}
		blank := st.text.Len() == 0
		switch {
		case blank && (c == ' ' || c == '\n' || c == '\t' || c == '\r'):
			continue
		case c == '-' && s.peek() == '-':
			err = s.comment(blank)
			c = '\n'
		case c == '/' && s.peek() == '*':
			err = s.block()
			c = ' '
		case c == '\\':
			if !blank {
				return "", s.errorf("a '\\' is in a statement")
			}
			if err := s.command(); err != nil {
				return "", err
			}
			continue
		case c == ';' && st.paren <= 0 && st.block == 0:
			if blank {
				continue
			}
			return st.text.String(), nil
		case c == '\'':
			err = s.quoted(&st.text, c, st.escapes())
		case c == '"':
			err = s.quoted(&st.text, c, false)
		case c == '$' && !st.inWord():
			err = s.dollar(&st.text)
		case c == '(':
			st.paren++
			st.text.WriteByte(c)
		case c == ')':
			st.paren--
			st.text.WriteByte(c)
		case pgWordByte(c) && !st.inWord():
			err = s.word(&st, c)
		default:
			st.text.WriteByte(c)
		}
		if err != nil {
			return "", err
		}
		if (c == '\n' || c == ' ') && !blank {
			// what a comment stands for
			if text := st.text.String(); text[len(text)-1] != c {
				st.text.WriteByte(c)
			}
		}
		if st.text.Len() > s.most {
			return "", s.errorf("a statement is longer than %d bytes", s.most)
		}
	}
}

func (s *pgScript) byte() (byte, error) {
	c, err := s.in.ReadByte()
	if c == '\n' && err == nil {
		s.line++
	}
	return c, err
}

// peek returns the next character, 0 at the end.
func (s *pgScript) peek() byte {
	next, _ := s.in.Peek(1)
	if len(next) == 0 {
		return 0
	}
	return next[0]
}

// readLine returns the rest of the line, at most 1 KiB of it.
func (s *pgScript) readLine() (string, error) {
	var b strings.Builder
	for {
		c, err := s.byte()
		if errors.Is(err, io.EOF) || err == nil && c == '\n' {
			return strings.TrimSuffix(b.String(), "\r"), nil
		} else if err != nil {
			return "", err
		}
		if b.Len() < 1<<10 {
			b.WriteByte(c)
		}
	}
}

// comment skips a comment up to the end of the line.
func (s *pgScript) comment(alone bool) error {
	line, err := s.readLine()
	if alone {
		s.dumped = s.dumped || "-"+line == pgDumpBegins
		s.ended = s.ended || "-"+line == pgWholeDump
	}
	return err
}

// block skips a comment in which there may be others.
func (s *pgScript) block() error {
	for depth, last := 0, byte('/'); ; {
		c, err := s.byte()
		if err != nil {
			return s.cut(err)
		}
		switch {
		case last == '/' && c == '*':
			depth, last = depth+1, 0
			continue
		case last == '*' && c == '/':
			if depth--; depth == 0 {
				return nil
			}
			last = 0
			continue
		}
		last = c
	}
}

// cut is the error for the end of the dump where there must be more.
func (s *pgScript) cut(err error) error {
	if errors.Is(err, io.EOF) {
		return s.errorf("%v", errPgCutOff)
	}
	return err
}

// command takes a command of psql's. pg_dump writes \restrict and \unrestrict,
// so that psql takes no others between them.
func (s *pgScript) command() error {
	line, err := s.readLine()
	if err != nil {
		return err
	}
	if name, _, _ := strings.Cut(line, " "); name == "restrict" || name == "unrestrict" {
		return nil
	}
	return s.errorf("it has a command for psql, \\%.40q, which only psql runs", line)
}

// quoted copies a literal or a quoted identifier, whose first quote was read.
// A doubled quote ends it and begins another, which comes to the same.
func (s *pgScript) quoted(to *strings.Builder, quote byte, escapes bool) error {
	to.WriteByte(quote)
	for {
		c, err := s.byte()
		if err != nil {
			return s.cut(err)
		}
		to.WriteByte(c)
		switch {
		case c == quote:
			return nil
		case c == '\\' && escapes:
			if c, err = s.byte(); err != nil {
				return s.cut(err)
			}
			to.WriteByte(c)
		}
		if to.Len() > s.most {
			return nil
		}
	}
}

// dollar copies a literal between dollars, or a '$' that begins none.
func (s *pgScript) dollar(to *strings.Builder) error {
	tag := []byte{'$'}
	for {
		c := s.peek()
		if c == '$' {
			break
		}
		if !pgWordByte(c) || len(tag) == 1 && c >= '0' && c <= '9' || len(tag) > 64 {
			to.Write(tag)
			return nil
		}
		tag = append(tag, c)
		if _, err := s.byte(); err != nil {
			return s.cut(err)
		}
	}
	_, _ = s.byte() // it was peeked at
	tag = append(tag, '$')
	to.Write(tag)
	for matched := 0; matched < len(tag); {
		c, err := s.byte()
		if err != nil {
			return s.cut(err)
		}
		to.WriteByte(c)
		switch {
		case c == tag[matched]:
			matched++
		case c == '$':
			matched = 1
		default:
			matched = 0
		}
		if to.Len() > s.most {
			return nil
		}
	}
	return nil
}

// word copies a word, and notes what it says of where the statement ends.
func (s *pgScript) word(st *pgScriptStatement, first byte) error {
	word := []byte{first}
	for pgWordByte(s.peek()) || s.peek() == '$' {
		c, err := s.byte()
		if err != nil {
			return err
		}
		word = append(word, c)
	}
	st.text.Write(word)
	upper := strings.ToUpper(string(word))
	if len(st.words) < 4 {
		st.words = append(st.words, upper)
	}
	if !st.routine() || st.paren > 0 {
		return nil
	}
	switch {
	case upper == "BEGIN", upper == "CASE" && st.block > 0:
		st.block++
	case upper == "END" && st.block > 0:
		st.block--
	}
	return nil
}

// routine reports whether the statement makes a function or procedure, whose
// body may have statements of its own.
func (st *pgScriptStatement) routine() bool {
	w := st.words
	if len(w) > 3 && w[1] == "OR" && w[2] == "REPLACE" {
		w = append([]string{w[0]}, w[3:]...)
	}
	return len(w) > 1 && w[0] == "CREATE" && (w[1] == "FUNCTION" || w[1] == "PROCEDURE")
}

// inWord reports whether the text ends within a word.
func (st *pgScriptStatement) inWord() bool {
	text := st.text.String()
	return text != "" && pgWordByte(text[len(text)-1])
}

// escapes reports whether a literal that begins now has escapes: E'…'.
func (st *pgScriptStatement) escapes() bool {
	text := st.text.String()
	n := len(text)
	return n > 0 && (text[n-1] == 'E' || text[n-1] == 'e') && (n == 1 || !pgWordByte(text[n-2]))
}

func pgWordByte(c byte) bool {
	return c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c >= 0x80
}

// rows returns what follows a COPY, up to the line "\.".
func (s *pgScript) rows() *pgRows { return &pgRows{script: s, start: true} }

type pgRows struct {
	script *pgScript
	rest   []byte
	start  bool // at the beginning of a line
	done   bool
	failed error
}

// Read returns lines, or parts of long ones.
func (r *pgRows) Read(p []byte) (n int, err error) {
	for n < len(p) && !r.done {
		if len(r.rest) == 0 {
			// What was returned before has been copied.
			if n > 0 && r.script.in.Buffered() == 0 {
				return n, nil
			}
			if r.failed = r.fill(); r.failed != nil {
				return n, r.failed
			}
			continue
		}
		c := copy(p[n:], r.rest)
		n, r.rest = n+c, r.rest[c:]
	}
	if n == 0 && r.done {
		return 0, io.EOF
	}
	return n, nil
}

func (r *pgRows) fill() error {
	line, err := r.script.in.ReadSlice('\n')
	if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
		return r.script.cut(err)
	}
	whole := err == nil
	if whole {
		r.script.line++
	}
	if r.start && whole && strings.TrimRight(string(line[:min(len(line), 4)]), "\r\n") == `\.` {
		r.done = true
		return nil
	}
	r.rest, r.start = line, whole
	return nil
}
