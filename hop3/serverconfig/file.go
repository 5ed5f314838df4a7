package serverconfig

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"

	"github.com/abilian/hop3/hop3"
)

// maxFile is more than any configuration has.
const maxFile = 1 << 20

// readTOML reads a file of settings, at the top level or under [hop3], by the
// keys' own names. One that is not there has none, unless it must be there.
func readTOML(path string, must bool) (map[string]value, error) {
	data, err := readAtMost(path, maxFile)
	if errors.Is(err, fs.ErrNotExist) && !must {
		return nil, nil
	}
	if err != nil {
		return nil, hop3.Errorf(hop3.CodeInvalid, "cannot read the configuration: %w", err)
	}
	// The decoder checks what the parser below does not: that no key comes
	// twice, that strings are text.
	var all map[string]any
	if err := toml.Unmarshal(data, &all); err != nil {
		var at *toml.DecodeError
		if errors.As(err, &at) {
			line, _ := at.Position()
			return nil, hop3.Errorf(hop3.CodeInvalid, "%s:%d: %w", path, line, err)
		}
		return nil, hop3.Errorf(hop3.CodeInvalid, "%s: %w", path, err)
	}
	return settings(path, data)
}

func readAtMost(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = fmt.Errorf("%s is larger than %d bytes", path, limit)
	}
	return data, err
}

// settings walks through the expressions of a file that decodes.
func settings(path string, data []byte) (map[string]value, error) {
	values := map[string]value{}
	var p unstable.Parser
	p.Reset(data)
	for p.NextExpression() {
		e := p.Expression()
		name, line := dotted(&p, e)
		at := fmt.Sprintf("%s:%d", path, line)
		switch {
		case e.Kind == unstable.Table && strings.EqualFold(name, "hop3"):
		case e.Kind == unstable.Table || e.Kind == unstable.ArrayTable:
			return nil, hop3.Errorf(hop3.CodeInvalid, "%s: there is no section [%s]", at, name).
				WithHint("Settings are written one a line, without sections: http_port = 8080.")
		case e.Kind == unstable.KeyValue:
			k := find(name)
			if k == nil {
				return nil, unknownKey(at, name)
			}
			if before, twice := values[k.name]; twice {
				return nil, hop3.Errorf(hop3.CodeInvalid, "%s: %s was set before, in %s", at, k.name, before.source)
			}
			written, err := text(e.Value(), k.list)
			if err != nil {
				return nil, hop3.Errorf(hop3.CodeInvalid, "%s: %s %w", at, name, err)
			}
			values[k.name] = value{text: written, source: at}
		}
	}
	if err := p.Error(); err != nil {
		return nil, hop3.Errorf(hop3.CodeInvalid, "%s: %w", path, err)
	}
	return values, nil
}

// dotted returns the name of an expression and its line.
func dotted(p *unstable.Parser, e *unstable.Node) (name string, line int) {
	var parts []string
	for it := e.Key(); it.Next(); {
		node := it.Node()
		if line == 0 {
			line = p.Shape(node.Raw).Start.Line
		}
		parts = append(parts, string(node.Data))
	}
	return strings.Join(parts, "."), line
}

// text is a value as the environment would have it.
func text(node *unstable.Node, mayBeList bool) (string, error) {
	switch {
	case node.Kind == unstable.String || node.Kind == unstable.Bool:
		return string(node.Data), nil
	case node.Kind == unstable.Integer || node.Kind == unstable.Float:
		return strings.ReplaceAll(string(node.Data), "_", ""), nil
	case node.Kind == unstable.Array && mayBeList:
		return list(node)
	default:
		return "", errors.New("must be a string, a number, true or false")
	}
}

// list writes a list as the environment does: with commas.
func list(node *unstable.Node) (string, error) {
	var words []string
	for it := node.Children(); it.Next(); {
		if e := it.Node(); e.Kind != unstable.String || strings.Contains(string(e.Data), ",") {
			return "", errors.New("must be a list of strings without commas")
		}
		words = append(words, string(it.Node().Data))
	}
	return strings.Join(words, ","), nil
}

func unknownKey(at, name string) error {
	names, close := near(name)
	err := hop3.Errorf(hop3.CodeInvalid, "%s: there is no setting %q", at, name)
	if close {
		return err.WithHint("Did you mean %s?", strings.Join(names, " or "))
	}
	return err.WithHint("The settings are %s.", strings.Join(names, ", "))
}
