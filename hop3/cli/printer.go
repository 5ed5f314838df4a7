package cli

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"

	"golang.org/x/term"

	"github.com/abilian/hop3/hop3/api"
	"github.com/abilian/hop3/hop3/client"
)

// printer shows items: data on the output, talk on the error output.
type printer struct {
	out, err  io.Writer
	color     bool // on the output
	errColor  bool
	boxes     bool // tables with lines around, when they fit
	width     int  // of the terminal; 0 when there is none
	json      bool
	verbosity int
	place     string // "context / app", in front of summaries
	kept      []json.RawMessage
	lines     bool // were shown as they came, with --json
}

func newPrinter(stdio Stdio, getenv func(string) string) *printer {
	plain := getenv("NO_COLOR") != "" || getenv("TERM") == "dumb"
	width := 0
	if out, ok := stdio.Out.(*os.File); ok {
		width, _, _ = term.GetSize(int(out.Fd())) // 0 for none
	}
	return &printer{
		width: width,
		out:   stdio.Out, err: stdio.Err,
		color:     !plain && isTerminal(stdio.Out),
		errColor:  !plain && isTerminal(stdio.Err),
		boxes:     isTerminal(stdio.Out),
		verbosity: 1,
	}
}

func (p *printer) configure(f flags) {
	p.json, p.verbosity, p.place = f.json, f.verbosity, f.app
}

func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// item shows one item. With --json it is kept for flush, as it came.
func (p *printer) item(item api.Item, raw json.RawMessage) {
	if p.json {
		if raw == nil {
			raw, _ = json.Marshal(item) // our own items always can be
		}
		p.kept = append(p.kept, raw)
		return
	}
	quiet := p.verbosity == 0
	switch item.T {
	case api.KindError:
		p.talk("red", "ERROR: "+item.Text)
	case api.KindWarning:
		if !quiet {
			p.talk("yellow", "⚠ "+item.Text)
		}
	case api.KindInfo:
		if !quiet {
			p.talk("", "i "+item.Text)
		}
	case "progress":
		if !quiet {
			p.talk("", "⏳ "+item.Text)
		}
	case api.KindSummary:
		if p.place != "" {
			item.Text = "[" + p.place + "] " + item.Text
		}
		p.talk("", item.Text)
	case api.KindData:
		p.data(item.Data)
	case api.KindBlob:
		text, _ := item.Data.(string)
		if content, err := base64.StdEncoding.DecodeString(text); err == nil {
			_, _ = p.out.Write(content) // a closed pipe has no better place to say so
		}
	case api.KindLog:
		if item.Level <= p.verbosity && (!quiet || item.Level == 0) {
			p.say(item.Color, item.Msg)
		}
	default:
		if !quiet {
			p.normal(item)
		}
	}
}

// normal shows the items that --quiet hides.
func (p *printer) normal(item api.Item) {
	switch item.T {
	case api.KindTable:
		if p.boxes {
			fmt.Fprint(p.out, tableWithin(item.Headers, item.Rows, p.width))
		} else {
			fmt.Fprint(p.out, table(item.Headers, item.Rows, false))
		}
	case api.KindSuccess:
		p.say("green", "✓ "+item.Text)
	case api.KindHint:
		p.say("", strings.ReplaceAll(item.Message, "{cmd}", "'hop3 "+item.Command+"'"))
	default:
		p.say("", item.Text)
	}
}

func (p *printer) say(color, text string) {
	fmt.Fprintln(p.out, paint(p.color, color, styled(p.color, text)))
}

func (p *printer) talk(color, text string) {
	fmt.Fprintln(p.err, paint(p.errColor, color, styled(p.errColor, text)))
}

// line shows a line as it comes, with --json too.
func (p *printer) line(text string) {
	if p.json {
		p.lines = true
		fmt.Fprintln(p.out, text)
		return
	}
	p.say("", text)
}

func (p *printer) data(v any) {
	text, err := json.MarshalIndent(v, "", "  ")
	if err == nil {
		fmt.Fprintln(p.out, string(text))
	}
}

// flush writes what --json kept, unless the command failed as a whole: then
// failure writes that.
func (p *printer) flush(err error) {
	if silent := new(exit); !p.json || err != nil && !(errors.As(err, silent) && silent.message == "") {
		return
	}
	if p.kept == nil && p.lines {
		return // an object a line, and nothing else
	}
	if p.kept == nil {
		p.kept = []json.RawMessage{}
	}
	p.indented(p.kept)
}

func (p *printer) indented(v any) {
	text, err := json.Marshal(v)
	if err != nil {
		return
	}
	var b bytes.Buffer
	if json.Indent(&b, text, "", "  ") == nil {
		fmt.Fprintln(p.out, b.String())
	}
}

// failure tells an error that ended the command.
func (p *printer) failure(err error, code int) {
	message := err.Error()
	if message == "" {
		return
	}
	var server *client.Error
	isServer := errors.As(err, &server)
	if p.json {
		wire := map[string]any{"message": message, "exit_code": code, "code": code}
		if isServer {
			wire["code"] = server.Code
			if server.Data != nil {
				wire["data"] = server.Data
			}
		}
		p.indented(map[string]any{"success": false, "error": wire})
		return
	}
	if isServer {
		for _, item := range server.Logs {
			p.item(item, nil)
		}
		if server.Data != nil && len(server.Data.Candidates) > 0 {
			message += "\n\nDid you mean: " + strings.Join(server.Data.Candidates, ", ") + "?"
		}
	}
	p.talk("red", "ERROR: "+message)
}

var colors = map[string]string{
	"red": "31", "green": "32", "yellow": "33", "blue": "36", "magenta": "35", "cyan": "36",
}

func paint(on bool, color, text string) string {
	code := colors[color]
	if !on || code == "" {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

var style = regexp.MustCompile("\x1b\\[[0-9;:]*m")

// styled cleans a text, but for the colours in it, where they can be shown.
func styled(on bool, text string) string {
	if !on {
		return clean(api.Plain(text))
	}
	var b strings.Builder
	at := 0
	for _, found := range style.FindAllStringIndex(text, -1) {
		b.WriteString(clean(text[at:found[0]]))
		b.WriteString(text[found[0]:found[1]])
		at = found[1]
	}
	b.WriteString(clean(text[at:]))
	if at > 0 {
		b.WriteString("\x1b[0m")
	}
	return b.String()
}

// clean takes out of a text from elsewhere what would do more to a terminal
// than show it. Line ends and tabs stay.
func clean(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' && r != '\n' && r != '\t' || r == 0x7f || r >= 0x80 && r < 0xa0 {
			return -1
		}
		return r
	}, text)
}
