package platform

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/abilian/hop3/hop3"
)

// ServerLogDir is the directory of the server's log in its home, and
// ServerLogFile the newest file there: lines of JSON, as zap writes them.
const (
	ServerLogDir  = "log"
	ServerLogFile = "server.log"
)

// maxServerLogLine bounds a line of the log.
const maxServerLogLine = 1 << 20

// ServerLogQuery chooses lines of the server's log.
type ServerLogQuery struct {
	Lines int // the last ones
	Since time.Time
	Level string // debug, info, warn or error: this and what is worse
	Grep  string // a part of the line, in any case
}

// ServerLine is a line of the server's log.
type ServerLine struct {
	Time  time.Time
	Level string
	Text  string // the rest, harmless to a terminal
}

var serverLevels = []string{"debug", "info", "warn", "error", "dpanic", "panic", "fatal"}

// ServerLog returns lines of the server's log, oldest first: for
// administrators. There are none where a Caddy runs the server by a
// configuration of its own, which says what is logged.
func (p *Platform) ServerLog(ctx context.Context, who Actor, q ServerLogQuery) ([]ServerLine, error) {
	if err := adminOnly(who); err != nil {
		return nil, err
	}
	least := slices.Index(serverLevels, cmp.Or(strings.ToLower(q.Level), "debug"))
	if least < 0 {
		return nil, hop3.Errorf(hop3.CodeInvalid, "There is no level %.40q.", q.Level).WithHint("Levels are debug, info, warn and error.")
	}
	dir := filepath.Join(p.Settings.Home, ServerLogDir)
	names, err := p.Files.List(dir)
	if err != nil || len(names) == 0 {
		return nil, err
	}
	logs, err := p.Files.Open(dir)
	if err != nil {
		return nil, err
	}
	// server-2026-11-25T10-00-00.000.log is older than server.log.
	slices.SortFunc(names, func(a, b string) int {
		return cmp.Or(cmp.Compare(boolInt(a == ServerLogFile), boolInt(b == ServerLogFile)), strings.Compare(a, b))
	})
	var found []ServerLine
	for _, name := range names {
		if !strings.HasPrefix(name, "server") || !strings.HasSuffix(name, ".log") {
			continue
		}
		err := readServerLog(ctx, logs, name, func(line ServerLine) {
			if slices.Index(serverLevels, line.Level) < least || line.Time.Before(q.Since) ||
				!strings.Contains(strings.ToLower(line.Text), strings.ToLower(q.Grep)) {
				return
			}
			found = append(found, line)
			if len(found) >= 2*q.Lines {
				found = slices.Delete(found, 0, len(found)-q.Lines)
			}
		})
		if err != nil {
			return nil, fmt.Errorf("reading the server's log: %w", err)
		}
	}
	return found[max(0, len(found)-q.Lines):], nil
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

func readServerLog(ctx context.Context, logs fs.FS, name string, each func(ServerLine)) error {
	f, err := logs.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // it was the oldest
	}
	if err != nil {
		return err
	}
	defer f.Close()
	in := bufio.NewReaderSize(f, maxServerLogLine)
	for ctx.Err() == nil {
		text, err := in.ReadSlice('\n')
		if line, ok := parseServerLine(text); ok {
			each(line)
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return err
		}
	}
	return context.Cause(ctx)
}

// parseServerLine reads a line of zap's JSON.
func parseServerLine(text []byte) (line ServerLine, ok bool) {
	var fields map[string]any
	if json.Unmarshal(text, &fields) != nil {
		return line, false
	}
	str := func(key string) string {
		s, _ := fields[key].(string)
		delete(fields, key)
		return s
	}
	at, err := time.Parse(time.RFC3339Nano, str("ts"))
	if err != nil {
		return line, false
	}
	line.Time, line.Level = at, str("level")
	parts := []string{str("logger") + ":", str("msg")}
	for _, key := range slices.Sorted(maps.Keys(fields)) {
		parts = append(parts, fmt.Sprintf("%s=%v", key, fields[key]))
	}
	line.Text = printable(strings.Join(parts, " "))
	return line, true
}
