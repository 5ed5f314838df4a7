package hook

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/abilian/hop3/hop3"
)

// The hook and the server speak over a unix socket. The hook sends one request,
// a list of "key=value" fields that each end with a NUL, none of which can hold
// one, closed by an empty field. The server answers with lines, the first byte
// of which says what they are.
const (
	greeting = "hop3-hook=1" // the first field: who speaks, which version

	fieldToken      = "token"
	fieldUpdate     = "update"
	fieldOption     = "option"
	fieldQuarantine = "quarantine"

	LineOutput  = '|' // to be shown to the pusher
	lineVerdict = '=' // the last: "=accept" or "=reject"

	VerdictAccept = "=accept"
	VerdictReject = "=reject"

	maxRequest = 32 << 20
	maxOptions = 1000
)

// The variables of the hook's environment.
const (
	EnvSocket = "HOP3_HOOK_SOCKET"
	EnvToken  = "HOP3_PUSH_TOKEN"
)

// Request is what the hook knows of a push.
type Request struct {
	Token      string
	Quarantine string // the directory of the pushed objects; "" without any
	Updates    []hop3.RefMove
	Options    []string
}

func (q *Request) encode(w io.Writer) error {
	buf := bufio.NewWriter(w)
	field := func(s string) { buf.WriteString(s); buf.WriteByte(0) }
	field(greeting)
	field(fieldToken + "=" + q.Token)
	field(fieldQuarantine + "=" + q.Quarantine)
	for _, u := range q.Updates {
		field(fieldUpdate + "=" + u.Old + " " + u.New + " " + u.Name)
	}
	for _, o := range q.Options {
		field(fieldOption + "=" + o)
	}
	field("")
	return buf.Flush()
}

// Decode reads a request.
func Decode(r io.Reader) (*Request, error) {
	fields := bufio.NewReader(io.LimitReader(r, maxRequest))
	var q Request
	for first := true; ; first = false {
		field, err := fields.ReadString(0)
		if err != nil {
			return nil, fmt.Errorf("reading the hook's request: %w", err)
		}
		field = strings.TrimSuffix(field, "\x00")
		switch {
		case first && field != greeting:
			return nil, errors.New("the hook is of another version than the server")
		case first:
		case field == "":
			return &q, nil
		default:
			if err := q.set(field); err != nil {
				return nil, err
			}
		}
	}
}

func (q *Request) set(field string) error {
	key, value, _ := strings.Cut(field, "=")
	switch key {
	case fieldToken:
		q.Token = value
	case fieldQuarantine:
		q.Quarantine = value
	case fieldOption:
		q.Options = append(q.Options, value)
	case fieldUpdate:
		move, err := parseUpdate(value)
		if err != nil {
			return err
		}
		q.Updates = append(q.Updates, move)
	default:
		return fmt.Errorf("unknown field %q in the hook's request", key)
	}
	return nil
}

// parseUpdate parses "<old> <new> <name>", as git feeds it to the hook.
func parseUpdate(line string) (hop3.RefMove, error) {
	parts := strings.SplitN(line, " ", 3)
	if len(parts) != 3 || parts[2] == "" {
		return hop3.RefMove{}, fmt.Errorf("malformed reference update %q", line)
	}
	return hop3.RefMove{Old: parts[0], New: parts[1], Name: parts[2]}, nil
}

// requestOf gathers the request from what git gives to its hook.
func requestOf(stdin io.Reader, getenv func(string) string) (*Request, error) {
	q := &Request{Token: getenv(EnvToken), Quarantine: getenv("GIT_QUARANTINE_PATH")}
	if q.Quarantine != "" && !filepath.IsAbs(q.Quarantine) {
		wd, err := os.Getwd()
		if err != nil {
			return nil, err
		}
		q.Quarantine = filepath.Join(wd, q.Quarantine)
	}
	lines := bufio.NewScanner(stdin)
	for lines.Scan() {
		move, err := parseUpdate(lines.Text())
		if err != nil {
			return nil, err
		}
		q.Updates = append(q.Updates, move)
	}
	count := 0
	if text := getenv("GIT_PUSH_OPTION_COUNT"); text != "" {
		var err error
		if count, err = strconv.Atoi(text); err != nil || count < 0 || count > maxOptions {
			return nil, fmt.Errorf("the push has %q options; at most %d are taken", text, maxOptions)
		}
	}
	for i := range count {
		q.Options = append(q.Options, getenv("GIT_PUSH_OPTION_"+strconv.Itoa(i)))
	}
	return q, lines.Err()
}
