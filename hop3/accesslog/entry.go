package accesslog

import (
	"strconv"
	"time"
	"unicode/utf8"
)

// Format is how a request is written down.
type Format int

// The formats.
const (
	JSON     Format = iota // an object
	Combined               // Apache's and nginx's "combined"
)

// Entry is a request. What came from the client may hold anything.
type Entry struct {
	Time      time.Time // of its arrival
	ID        string    // as the app got it
	Remote    string    // the client's address
	Method    string
	Host      string
	URI       string // secrets in the query are not written down, nor in Referer
	Proto     string // "HTTP/2.0"
	Status    int    // 499: the client left before the answer
	Sent      int64  // bytes of the answer's body
	Received  int64  // and of the request's
	Took      time.Duration
	Release   int
	Instance  string // "web.1"; "" when none was asked
	Referer   string
	UserAgent string
}

// How much of what a client sent is written down, in bytes.
const (
	maxURI   = 4096
	maxOther = 1024
	maxShort = 256
	maxLine  = 16 << 10 // about what a line can have
)

func (e *Entry) append(b []byte, format Format) []byte {
	if format == Combined {
		return e.appendCombined(b)
	}
	return e.appendJSON(b)
}

func (e *Entry) appendJSON(b []byte) []byte {
	b = append(b, `{"ts":"`...)
	b = e.Time.UTC().AppendFormat(b, "2006-01-02T15:04:05.000Z")
	b = append(b, '"')
	b = field(b, "id", e.ID, maxShort)
	b = field(b, "remote", e.Remote, maxShort)
	b = field(b, "method", e.Method, maxShort)
	b = field(b, "host", e.Host, maxShort)
	b = append(b, `,"uri":"`...)
	b = appendURI(b, e.URI, maxURI, jsonEscape)
	b = append(b, '"')
	b = field(b, "proto", e.Proto, maxShort)
	b = append(b, `,"status":`...)
	b = strconv.AppendInt(b, int64(e.Status), 10)
	b = append(b, `,"bytes":`...)
	b = strconv.AppendInt(b, e.Sent, 10)
	b = append(b, `,"received":`...)
	b = strconv.AppendInt(b, e.Received, 10)
	b = append(b, `,"duration":`...)
	b = strconv.AppendFloat(b, e.Took.Seconds(), 'f', 6, 64)
	b = append(b, `,"release":`...)
	b = strconv.AppendInt(b, int64(e.Release), 10)
	b = field(b, "instance", e.Instance, maxShort)
	b = append(b, `,"referer":"`...)
	b = appendURI(b, e.Referer, maxOther, jsonEscape)
	b = append(b, '"')
	b = field(b, "user_agent", e.UserAgent, maxOther)
	return append(b, "}\n"...)
}

func field(b []byte, name, value string, most int) []byte {
	b = append(b, `,"`...)
	b = append(b, name...)
	b = append(b, `":"`...)
	b = jsonEscape(b, shorten(value, most))
	return append(b, '"')
}

// appendCombined writes what Apache calls
// %h - - [%t] "%r" %>s %b "%{Referer}i" "%{User-Agent}i".
func (e *Entry) appendCombined(b []byte) []byte {
	b = hexEscape(b, shorten(orDash(e.Remote), maxShort))
	b = append(b, " - - ["...)
	b = e.Time.UTC().AppendFormat(b, "02/Jan/2006:15:04:05 -0700")
	b = append(b, `] "`...)
	b = hexEscape(b, shorten(e.Method, maxShort))
	b = append(b, ' ')
	b = appendURI(b, e.URI, maxURI, hexEscape)
	b = append(b, ' ')
	b = hexEscape(b, shorten(e.Proto, maxShort))
	b = append(b, `" `...)
	b = strconv.AppendInt(b, int64(e.Status), 10)
	b = append(b, ' ')
	b = strconv.AppendInt(b, e.Sent, 10)
	b = append(b, ` "`...)
	b = appendURI(b, orDash(e.Referer), maxOther, hexEscape)
	b = append(b, `" "`...)
	b = hexEscape(b, shorten(orDash(e.UserAgent), maxOther))
	return append(b, "\"\n"...)
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func shorten(s string, most int) string {
	if len(s) > most {
		return s[:most]
	}
	return s
}

// escape appends a text so that it stays within its quotes, and on its line,
// and does nothing to a terminal.
type escape func(b []byte, s string) []byte

const hexDigits = "0123456789abcdef"

func jsonEscape(b []byte, s string) []byte {
	for i := 0; i < len(s); {
		c := s[i]
		if c < utf8.RuneSelf {
			i++
			switch {
			case c == '"' || c == '\\':
				b = append(b, '\\', c)
			case c < ' ' || c == 0x7f:
				b = append(b, `\u00`...)
				b = append(b, hexDigits[c>>4], hexDigits[c&15])
			default:
				b = append(b, c)
			}
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			b = append(b, `\ufffd`...)
		case r < 0xa0, r >= 0x200b && r <= 0x200f, r >= 0x2028 && r <= 0x202e, r >= 0x2066 && r <= 0x2069:
			// Terminals obey some, and others turn what follows around.
			b = append(b, `\u`...)
			b = append(b, hexDigits[r>>12&15], hexDigits[r>>8&15], hexDigits[r>>4&15], hexDigits[r&15])
		default:
			b = append(b, s[i:i+size]...)
		}
		i += size
	}
	return b
}

// hexEscape escapes as nginx does.
func hexEscape(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c >= 0x7f || c == '"' || c == '\\' {
			b = append(b, '\\', 'x', hexDigits[c>>4], hexDigits[c&15])
		} else {
			b = append(b, c)
		}
	}
	return b
}
