package stream

import (
	"bufio"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/abilian/hop3/hop3"
)

// A hub with a directory keeps each log in a file there too, so that who
// follows a deployment over a restart of the server learns how it ended. Files
// are lines of JSON: who deploys what, the lines, the outcome. What cannot be
// written is in memory only.

const keptSuffix = ".jsonl"

// interrupted is the outcome of a log that has none: its server is gone.
const interrupted = "The server was restarted before the deployment ended. `hop3 releases` says what became of it."

var keptName = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)

// record is a line of a file: one of the three.
type record struct {
	Begin *beginning `json:"begin,omitempty"`
	Line  *keptLine  `json:"line,omitempty"`
	End   *Outcome   `json:"end,omitempty"`
}

type beginning struct {
	App     string    `json:"app"`
	User    string    `json:"user"`
	Created time.Time `json:"created"`
}

type keptLine struct {
	Index int       `json:"i"`
	Text  string    `json:"text"`
	Level int       `json:"level,omitempty"`
	Color string    `json:"color,omitempty"`
	Time  time.Time `json:"time"`
}

// keeper writes the file of a log; nil writes nothing.
type keeper struct {
	file *os.File
	size int
}

// keep begins the file of a log.
func (h *Hub) keep(l *Log) *keeper {
	if h.Dir == "" {
		return nil
	}
	f, err := os.OpenFile(filepath.Join(h.Dir, l.ID+keptSuffix), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return nil
	}
	k := &keeper{file: f}
	k.write(record{Begin: &beginning{l.App, l.User, l.Created}})
	return k
}

// line writes a line, but for a secret, and but for what is too much.
func (k *keeper) line(l Line) {
	if k == nil || k.size > maxBytes {
		return
	}
	kept := keptLine{l.Index, l.Text, l.Level, l.Color, l.Time}
	if l.Once {
		kept.Text = "       (what was shown once is not kept)"
	}
	k.write(record{Line: &kept})
	if k.size > maxBytes {
		k.write(record{Line: &keptLine{Index: l.Index + 1, Text: "… the log is too long to be kept whole", Color: "yellow", Time: l.Time}})
	}
}

// end writes the outcome and closes the file.
func (k *keeper) end(o Outcome) {
	if k == nil {
		return
	}
	k.write(record{End: &o})
	_ = k.file.Close() // what was written was, and the rest is in memory
}

func (k *keeper) write(r record) {
	text, err := json.Marshal(r)
	if err != nil {
		return
	}
	n, _ := k.file.Write(append(text, '\n')) // a full disk must not end the deployment
	k.size += n
}

// load reads a log that another process of the server has left.
func (h *Hub) load(id string) (*Log, error) {
	if h.Dir == "" || !keptName.MatchString(id) {
		return nil, fs.ErrNotExist
	}
	f, err := os.Open(filepath.Join(h.Dir, id+keptSuffix))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	l := &Log{ID: id, changed: make(chan struct{})}
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 8*maxLineSize)
	for lines.Scan() {
		var r record
		if json.Unmarshal(lines.Bytes(), &r) != nil {
			break // the last one, cut off
		}
		switch {
		case r.Begin != nil:
			l.App, l.User, l.Created = r.Begin.App, r.Begin.User, r.Begin.Created
		case r.Line != nil:
			l.lines = append(l.lines, Line{r.Line.Index, hop3.LogLine{Text: r.Line.Text, Level: r.Line.Level, Color: r.Line.Color, Time: r.Line.Time}})
			l.next = r.Line.Index + 1
		case r.End != nil:
			l.outcome = r.End
		}
	}
	if l.Created.IsZero() {
		return nil, errors.New("the log has no beginning")
	}
	if l.outcome == nil {
		l.outcome = &Outcome{Error: interrupted, At: info.ModTime()}
	}
	return l, nil
}

// purgeFiles removes the files of logs that are kept no longer. It needs h.mu.
func (h *Hub) purgeFiles(now time.Time) {
	if h.Dir == "" {
		return
	}
	entries, err := os.ReadDir(h.Dir)
	if err != nil {
		return
	}
	for _, e := range entries {
		id, ok := strings.CutSuffix(e.Name(), keptSuffix)
		info, err := e.Info()
		if !ok || err != nil || now.Sub(info.ModTime()) <= Keep {
			continue
		}
		if l := h.logs[id]; l == nil || !l.ended().IsZero() {
			_ = os.Remove(filepath.Join(h.Dir, e.Name())) // the next deployment tries again
		}
	}
}
