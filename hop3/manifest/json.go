package manifest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// maxNesting bounds how deep JSON is followed; app.json needs five levels.
const maxNesting = 64

// parseJSON reads JSON as a document of the same kind as hop3.toml: what reads
// that, and tells of its mistakes with their lines, reads it too. What is wrong
// with the JSON itself is among the document's problems.
func parseJSON(name string, data []byte) *document {
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	d := &document{file: name, lines: map[string]int{}, literals: map[string]string{}}
	p := &jsonParser{document: d, decoder: json.NewDecoder(bytes.NewReader(data)), newlines: newlines(data)}
	p.decoder.UseNumber()
	if !utf8.Valid(data) {
		d.problem(1, "(line 1): the file is not UTF-8 text")
		return d
	}
	value, err := p.value(nil)
	if err == nil {
		if _, more := p.decoder.Token(); !errors.Is(more, io.EOF) {
			err = errors.New("there is something behind the end")
		}
	}
	root, isTable := value.(map[string]any)
	if err == nil && !isTable {
		err = errors.New("expected an object: { … }")
	}
	if err != nil {
		p.failSyntax(data, err)
		root = nil
	}
	d.root = root
	return d
}

// failSyntax reports what is no JSON. The decoder says where the last good token
// ended; the mistake is what comes next.
func (p *jsonParser) failSyntax(data []byte, err error) {
	at := int(p.decoder.InputOffset())
	for at < len(data) && strings.IndexByte(" \t\r\n,:", data[at]) >= 0 {
		at++
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		at, err = max(len(bytes.TrimRight(data, " \t\r\n"))-1, 0), errors.New("the file ends in the middle")
	}
	line := p.lineAt(int64(at) + 1)
	p.problem(line, fmt.Sprintf("(line %d): %s", line, strings.TrimPrefix(err.Error(), "json: ")))
}

type jsonParser struct {
	*document
	decoder  *json.Decoder
	newlines []int
}

// line is the line of what was read last.
func (p *jsonParser) line() int { return p.lineAt(p.decoder.InputOffset()) }

func (p *jsonParser) lineAt(offset int64) int {
	line, _ := slices.BinarySearch(p.newlines, max(int(offset)-1, 0))
	return line + 1
}

func (p *jsonParser) value(path []string) (any, error) {
	if len(path) > maxNesting {
		return nil, fmt.Errorf("values are nested more than %d deep", maxNesting)
	}
	token, err := p.decoder.Token()
	if err != nil {
		return nil, err
	}
	if name := join(path); p.lines[name] == 0 {
		p.lines[name] = p.line()
	}
	switch token := token.(type) {
	case json.Delim:
		if token == '{' {
			return p.object(path)
		}
		return p.list(path)
	case json.Number:
		return p.number(path, token), nil
	case bool:
		p.literals[join(path)] = strconv.FormatBool(token)
		return token, nil
	}
	return token, nil
}

// number is an integer where it is one. Its text is kept: as a variable it is
// what was written.
func (p *jsonParser) number(path []string, n json.Number) any {
	p.literals[join(path)] = n.String()
	if whole, err := n.Int64(); err == nil {
		return whole
	}
	float, _ := n.Float64() // one that is too large is infinite, and in no range
	return float
}

func (p *jsonParser) object(path []string) (any, error) {
	values := map[string]any{}
	for p.decoder.More() {
		token, err := p.decoder.Token()
		if err != nil {
			return nil, err
		}
		key, _ := token.(string) // the decoder lets nothing else through
		at := append(slices.Clone(path), key)
		if _, twice := values[key]; twice {
			p.fail(at, "is there twice, on line %d again", p.line())
		}
		p.lines[join(at)] = p.line()
		value, err := p.value(at)
		if err != nil {
			return nil, err
		}
		if value != nil { // null says nothing
			values[key] = value
		}
	}
	_, err := p.decoder.Token()
	return values, err
}

func (p *jsonParser) list(path []string) (any, error) {
	list := []any{}
	for i := 0; p.decoder.More(); i++ {
		value, err := p.value(append(slices.Clone(path), strconv.Itoa(i)))
		if err != nil {
			return nil, err
		}
		list = append(list, value)
	}
	_, err := p.decoder.Token()
	return list, err
}
