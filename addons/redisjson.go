package addons

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/abilian/hop3/hop3"
)

// oldKey is a key in a dump of Hop3 for Python: an object by key, beside what
// it was made of. It has strings, lists, sets and hashes, and no ends.
type oldKey struct {
	Type  string          `json:"type"`
	Value json.RawMessage `json:"value"`
}

func (l *redisLoad) loadJSON(in *bufio.Reader) error {
	d := json.NewDecoder(in)
	err := eachOf(d, func(name string) error {
		if name != "keys" {
			var other any
			return d.Decode(&other)
		}
		return eachOf(d, func(key string) error {
			var k oldKey
			if err := d.Decode(&k); err != nil {
				return err
			}
			if strings.HasPrefix(key, "hop3:addon:") && strings.HasSuffix(key, ":created") {
				return nil // Hop3's own mark
			}
			return l.setOld(key, k)
		})
	})
	if err == nil {
		_, err = d.Token()
		if err == nil {
			err = errors.New("it goes on after its end")
		} else if errors.Is(err, io.EOF) {
			return nil
		}
	}
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	if errors.As(err, &syntax) || errors.As(err, &kind) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		return hop3.Errorf(hop3.CodeInvalid, "the dump is not whole, or not one of Redis: %s", err).
			WithHint("A dump of Redis is a file *.rdb, or the JSON of Hop3 for Python.")
	}
	return err
}

// eachOf reads an object, whose values are read by read.
func eachOf(d *json.Decoder, read func(name string) error) error {
	if t, err := d.Token(); err != nil {
		return err
	} else if t != json.Delim('{') {
		return hop3.Errorf(hop3.CodeInvalid, "the dump has %v where an object should be", t).WithHint("It is no dump of Hop3 for Python.")
	}
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return err
		}
		if err := read(fmt.Sprint(t)); err != nil {
			return err
		}
	}
	_, err := d.Token()
	return err
}

func (l *redisLoad) setOld(key string, k oldKey) error {
	l.lasting++
	switch k.Type {
	case "string":
		var value string
		if err := json.Unmarshal(k.Value, &value); err != nil {
			return err
		}
		return l.command(0, "SET", key, value)
	case "list", "set":
		var values []string
		if err := json.Unmarshal(k.Value, &values); err != nil {
			return err
		}
		return l.addOld(map[string]string{"list": "RPUSH", "set": "SADD"}[k.Type], key, values)
	case "hash":
		var fields map[string]string
		if err := json.Unmarshal(k.Value, &fields); err != nil {
			return err
		}
		var pairs []string
		for name, value := range fields {
			pairs = append(pairs, name, value)
		}
		return l.addOld("HSET", key, pairs)
	}
	return hop3.Errorf(hop3.CodeInvalid, "the dump has a key of the type %.40q", k.Type).WithHint("It is no dump of Hop3 for Python.")
}

// addOld adds so many members at a time; an even number, for pairs.
func (l *redisLoad) addOld(command, key string, members []string) error {
	const most = 1000
	if len(members) == 0 {
		l.lasting--
	}
	for len(members) > 0 {
		n := min(len(members), most)
		if err := l.command(0, append([]string{command, key}, members[:n]...)...); err != nil {
			return err
		}
		members = members[n:]
	}
	return nil
}
