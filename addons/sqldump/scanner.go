// Package sqldump reads dumps of MySQL and MariaDB, as mysqldump and
// mariadb-dump write them, statement by statement. Nothing of a dump is a
// command: what the client mysql would do itself, as \! or system, is here part
// of a statement, which the server then refuses.
package sqldump

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strings"
)

// maxStatement is the longest packet that servers take.
const maxStatement = 1 << 30

// ErrTooLong is of a statement that no server takes.
var ErrTooLong = errors.New("the dump has a statement of more than 1 GiB")

// Scanner reads statements.
type Scanner struct {
	in        *bufio.Reader
	line      int
	delimiter string
	text      []byte
	dumped    bool // its first lines say that it is a dump
	completed bool // its last line says so
}

// Statement is a statement of a dump, without the delimiter.
type Statement struct {
	Text []byte // valid until the next call
	Line int    // where it begins, from 1
	Rows int64  // how many an INSERT has
}

// NewScanner returns a scanner.
func NewScanner(in io.Reader) *Scanner {
	return &Scanner{in: bufio.NewReaderSize(in, 256<<10), line: 1, delimiter: ";"}
}

// Whole reports, at the end, whether the dump is one to its end: mysqldump
// writes a first and a last line. Of a text without the first one it is not
// known, and true.
func (s *Scanner) Whole() bool { return s.completed || !s.dumped }

// Completed reports whether the last line of a dump was there.
func (s *Scanner) Completed() bool { return s.completed }

// Next returns the next statement. The error at the end is io.EOF.
func (s *Scanner) Next() (Statement, error) {
	s.text = s.text[:0]
	if err := s.begin(); err != nil {
		return Statement{}, err
	}
	st := Statement{Line: s.line}
	depth := 0
	for {
		c, err := s.in.ReadByte()
		if errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return Statement{}, err
		}
		if c == s.delimiter[0] && s.follows(s.delimiter[1:]) {
			st.Text = bytes.TrimSpace(s.text)
			return st, nil
		}
		s.text = append(s.text, c)
		switch c {
		case '\n':
			s.line++
		case '\'', '"', '`':
			err = s.quoted(c)
		case '#':
			err = s.comment("\n")
		case '-':
			if s.follows("- ") || s.follows("-\n") || s.follows("-\t") {
				s.text = append(s.text, "- "...)
				err = s.comment("\n")
			}
		case '/':
			if s.follows("*") {
				s.text = append(s.text, '*')
				if !s.startsWith("!") && !s.startsWith("M!") {
					err = s.comment("*/")
				}
			}
		case '(':
			if depth == 0 {
				st.Rows++
			}
			depth++
		case ')':
			depth--
		case 'V', 'v':
			if depth == 0 && s.follows("ALUES") {
				s.text = append(s.text, "ALUES"...)
				st.Rows = 0 // what came before were names of columns
			}
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return Statement{}, err
		}
		if len(s.text) > maxStatement {
			return Statement{}, ErrTooLong
		}
	}
	st.Text = bytes.TrimSpace(s.text)
	if len(st.Text) == 0 {
		return Statement{}, io.EOF
	}
	return st, nil
}

// follows takes what comes next if it is that, in capitals or not.
func (s *Scanner) follows(want string) bool {
	got, _ := s.in.Peek(len(want))
	if !strings.EqualFold(string(got), want) {
		return false
	}
	s.line += strings.Count(want, "\n")
	_, _ = s.in.Discard(len(want)) // is buffered
	return true
}

// begin reads what may stand before a statement: white space, comments, the
// client's command DELIMITER.
func (s *Scanner) begin() error {
	for {
		head, err := s.in.Peek(1)
		if err != nil {
			return err
		}
		switch {
		case strings.ContainsRune(" \t\r\n", rune(head[0])):
			s.follows(string(head))
		case head[0] == '#', s.startsWith("-- "), s.startsWith("--\n"), s.startsWith("--\r"):
			line, err := s.readLine()
			if err != nil {
				return err
			}
			s.remark(line)
		case s.startsWith("DELIMITER "):
			line, err := s.readLine()
			if err != nil {
				return err
			}
			if d := strings.TrimSpace(line[len("DELIMITER "):]); d != "" {
				s.delimiter = d
			}
		case s.startsWith("/*M!999999"), s.startsWith("/*") && !s.startsWith("/*!") && !s.startsWith("/*M!"):
			if err := s.comment("*/"); err != nil {
				return err
			}
			s.text = s.text[:0]
		case s.startsWith(s.delimiter):
			s.follows(s.delimiter)
		default:
			return nil
		}
	}
}

func (s *Scanner) startsWith(want string) bool {
	got, _ := s.in.Peek(len(want))
	return strings.EqualFold(string(got), want)
}

func (s *Scanner) readLine() (string, error) {
	line, err := s.in.ReadString('\n')
	if errors.Is(err, io.EOF) {
		err = nil
	}
	s.line++
	return strings.TrimRight(line, "\r\n"), err
}

func (s *Scanner) remark(line string) {
	switch {
	case strings.HasPrefix(line, "-- Dump completed"):
		s.completed = true
	case strings.HasPrefix(line, "-- MariaDB dump "), strings.HasPrefix(line, "-- MySQL dump "):
		s.dumped, s.completed = true, false
	}
}

// quoted reads to the end of a string or a name. Most of a dump is strings.
func (s *Scanner) quoted(quote byte) error {
	for len(s.text) <= maxStatement {
		chunk, err := s.in.Peek(max(1, s.in.Buffered()))
		if len(chunk) == 0 {
			return err
		}
		n := 0
		for n < len(chunk) && chunk[n] != quote {
			if chunk[n] == '\\' && quote != '`' {
				if n+1 == len(chunk) {
					break
				}
				n++
			}
			n++
		}
		take := min(n+1, len(chunk))
		last := chunk[take-1]
		s.take(chunk[:take])
		switch {
		case n == len(chunk):
		case last == quote: // doubled ones begin another string at once
			return nil
		default: // what follows a backslash is never the end
			escaped, err := s.in.Peek(1)
			if len(escaped) == 0 {
				return err
			}
			s.take(escaped)
		}
	}
	return ErrTooLong
}

// take adds what was peeked at to the statement.
func (s *Scanner) take(b []byte) {
	s.text = append(s.text, b...)
	s.line += bytes.Count(b, []byte{'\n'})
	_, _ = s.in.Discard(len(b)) // is buffered
}

// comment reads to the end of a comment.
func (s *Scanner) comment(end string) error {
	for {
		c, err := s.in.ReadByte()
		if err != nil {
			return err
		}
		s.text = append(s.text, c)
		if c == '\n' {
			s.line++
		}
		if bytes.HasSuffix(s.text, []byte(end)) {
			return nil
		}
		if len(s.text) > maxStatement {
			return ErrTooLong
		}
	}
}
