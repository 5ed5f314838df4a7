package serverconfig

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/abilian/hop3/hop3"
)

// SaveProxy writes the choice of a proxy into the configuration file of the
// home, for the next start. Where something that wins over that file says
// otherwise, it changes nothing and returns a CodeConflict error that names it.
func (c *Config) SaveProxy(name string) error {
	const key = "HOP3_PROXY_TYPE"
	for _, row := range c.rows {
		if row.Key == key && (strings.HasPrefix(row.Source, "flag") || strings.HasPrefix(row.Source, "environment")) && row.Value != name {
			return hop3.Errorf(hop3.CodeConflict, "%s is %s by the %s, which would win over this choice at the next start.", key, row.Value, row.Source).
				WithHint("Change it there, or take it away there; then the choice can be kept in %s.", filepath.Join(c.Home, homeFile))
		}
	}
	path := filepath.Join(c.Home, homeFile)
	old, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	text := setLine(string(old), fmt.Sprintf("proxy = %q", name))
	return replaceFile(path, []byte(text))
}

// Private

// setLine puts a line in place of the one that sets the proxy, or at the top:
// there no section has begun.
func setLine(text, line string) string {
	lines := strings.SplitAfter(text, "\n")
	for i, l := range lines {
		if proxyLine.MatchString(l) {
			lines[i] = line + "\n"
			return strings.Join(lines, "")
		}
	}
	return line + "\n" + text
}

// proxyLine is a line that sets the proxy, by any of its names.
var proxyLine = regexp.MustCompile(`(?i)^\s*"?(hop3[_-])?proxy([_-]type)?"?\s*=`)

// replaceFile replaces a file atomically, and keeps its mode.
func replaceFile(path string, data []byte) error {
	mode := os.FileMode(0o600)
	if info, err := os.Stat(path); err == nil {
		mode = info.Mode().Perm()
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), ".hop3-server-*")
	if err != nil {
		return err
	}
	_, err = tmp.Write(data)
	err = errors.Join(err, tmp.Chmod(mode), tmp.Sync(), tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(tmp.Name()))
	}
	return nil
}
