package git

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
	hookGreeting = "hop3-hook=1" // the first field: who speaks, which version

	fieldToken      = "token"
	fieldUpdate     = "update"
	fieldOption     = "option"
	fieldQuarantine = "quarantine"

	lineOutput  = '|' // to be shown to the pusher
	lineVerdict = '=' // the last: "=accept" or "=reject"

	verdictAccept = "=accept"
	verdictReject = "=reject"

	maxHookRequest = 32 << 20
)

// The variables of the hook's environment.
const (
	envSocket = "HOP3_HOOK_SOCKET"
	envToken  = "HOP3_PUSH_TOKEN"
)

// hookRequest is what the hook knows of a push.
type hookRequest struct {
	token      string
	quarantine string // the directory of the pushed objects; "" without any
	updates    []hop3.RefMove
	options    []string
}

func (q *hookRequest) encode(w io.Writer) error {
	buf := bufio.NewWriter(w)
	field := func(s string) { buf.WriteString(s); buf.WriteByte(0) }
	field(hookGreeting)
	field(fieldToken + "=" + q.token)
	field(fieldQuarantine + "=" + q.quarantine)
	for _, u := range q.updates {
		field(fieldUpdate + "=" + u.Old + " " + u.New + " " + u.Name)
	}
	for _, o := range q.options {
		field(fieldOption + "=" + o)
	}
	field("")
	return buf.Flush()
}

func decodeHookRequest(r io.Reader) (*hookRequest, error) {
	fields := bufio.NewReader(io.LimitReader(r, maxHookRequest))
	var q hookRequest
	for first := true; ; first = false {
		field, err := fields.ReadString(0)
		if err != nil {
			return nil, fmt.Errorf("reading the hook's request: %w", err)
		}
		field = strings.TrimSuffix(field, "\x00")
		switch {
		case first && field != hookGreeting:
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

func (q *hookRequest) set(field string) error {
	key, value, _ := strings.Cut(field, "=")
	switch key {
	case fieldToken:
		q.token = value
	case fieldQuarantine:
		q.quarantine = value
	case fieldOption:
		q.options = append(q.options, value)
	case fieldUpdate:
		move, err := parseUpdate(value)
		if err != nil {
			return err
		}
		q.updates = append(q.updates, move)
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

// hookRequestOf gathers the request from what git gives to its hook.
func hookRequestOf(stdin io.Reader, getenv func(string) string) (*hookRequest, error) {
	q := &hookRequest{token: getenv(envToken), quarantine: getenv("GIT_QUARANTINE_PATH")}
	if q.quarantine != "" && !filepath.IsAbs(q.quarantine) {
		wd, err := os.Getwd()
		if err != nil {
			return nil, err
		}
		q.quarantine = filepath.Join(wd, q.quarantine)
	}
	lines := bufio.NewScanner(stdin)
	for lines.Scan() {
		move, err := parseUpdate(lines.Text())
		if err != nil {
			return nil, err
		}
		q.updates = append(q.updates, move)
	}
	count, _ := strconv.Atoi(getenv("GIT_PUSH_OPTION_COUNT"))
	for i := range count {
		q.options = append(q.options, getenv("GIT_PUSH_OPTION_"+strconv.Itoa(i)))
	}
	return q, lines.Err()
}
