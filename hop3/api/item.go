package api

import (
	"encoding/base64"
	"encoding/json"
	"fmt"

	"github.com/abilian/hop3/hop3"
)

// Item is one piece of output. T says how a client shows it and which of the
// other fields count.
type Item struct {
	T        string   `json:"t"`
	Text     string   `json:"text"`      // text, success, warning, error, info, summary, code
	Lang     string   `json:"lang"`      // code
	Headers  []string `json:"headers"`   // table
	Rows     [][]any  `json:"rows"`      // table
	Msg      string   `json:"msg"`       // log
	Level    int      `json:"level"`     // log
	Color    string   `json:"fg"`        // log
	Data     any      `json:"data"`      // data: an object; blob: base64
	Filename string   `json:"filename"`  // blob
	Command  string   `json:"command"`   // hint: a command's bare name
	Message  string   `json:"message"`   // hint: a sentence with {cmd} in it
	StreamID string   `json:"stream_id"` // stream
	// ExitCode of an error is the exit status of the program that failed, for
	// clients that pass it on.
	ExitCode int `json:"exit_code"`
}

// The kinds of item.
const (
	KindText    = "text"
	KindTable   = "table"
	KindCode    = "code"
	KindError   = "error"
	KindSuccess = "success"
	KindWarning = "warning"
	KindInfo    = "info"
	KindSummary = "summary"
	KindLog     = "log"
	KindData    = "data"
	KindBlob    = "blob"
	KindHint    = "hint"
	KindStream  = "stream"
)

// MarshalJSON writes the fields of the item's kind, also when they are empty,
// and no others.
func (i Item) MarshalJSON() ([]byte, error) {
	m := map[string]any{"t": i.T}
	switch i.T {
	case KindTable:
		m["headers"], m["rows"] = i.Headers, i.Rows
		if i.Rows == nil {
			m["rows"] = [][]any{}
		}
	case KindLog:
		m["msg"], m["level"], m["fg"] = i.Msg, i.Level, i.Color
	case KindData:
		m["data"] = i.Data
	case KindBlob:
		m["data"], m["filename"] = i.Data, i.Filename
	case KindHint:
		m["command"], m["message"] = i.Command, i.Message
	case KindStream:
		m["stream_id"] = i.StreamID
	case KindCode:
		m["lang"], m["text"] = i.Lang, i.Text
	default:
		m["text"] = i.Text
		if i.ExitCode != 0 {
			m["exit_code"] = i.ExitCode
		}
	}
	return json.Marshal(m)
}

// Text is shown as it is.
func Text(format string, args ...any) Item { return worded(KindText, format, args) }

// Success says that something was done.
func Success(format string, args ...any) Item { return worded(KindSuccess, format, args) }

// Warning goes to standard error.
func Warning(format string, args ...any) Item { return worded(KindWarning, format, args) }

// Info goes to standard error.
func Info(format string, args ...any) Item { return worded(KindInfo, format, args) }

// Failure is an error inside an answer that has more to say than an error
// could: clients show it, and exit with a failure.
func Failure(format string, args ...any) Item { return worded(KindError, format, args) }

// Summary is the one line that is shown even to those who want quiet.
func Summary(format string, args ...any) Item { return worded(KindSummary, format, args) }

// Table is rows under headers.
func Table(headers []string, rows ...[]any) Item {
	return Item{T: KindTable, Headers: headers, Rows: rows}
}

// Data is an object for programs.
func Data(object map[string]any) Item { return Item{T: KindData, Data: object} }

// Blob is a file, written to standard output as it is.
func Blob(filename string, content []byte) Item {
	return Item{T: KindBlob, Filename: filename, Data: base64.StdEncoding.EncodeToString(content)}
}

// Log is one line of progress.
func Log(line hop3.LogLine) Item {
	return Item{T: KindLog, Msg: line.Text, Level: line.Level, Color: line.Color}
}

// Hint tells what to do next: {cmd} in message becomes the whole command line.
func Hint(command, message string) Item {
	return Item{T: KindHint, Command: command, Message: message}
}

// Stream tells where the progress of a deploy can be followed. It is the only
// item of its answer.
func Stream(id string) Item { return Item{T: KindStream, StreamID: id} }

func worded(kind, format string, args []any) Item {
	if len(args) > 0 {
		format = fmt.Sprintf(format, args...)
	}
	return Item{T: kind, Text: format}
}

// CodeNeeded is how the error of a login begins that wants a code of a second
// factor beside the password.
const CodeNeeded = "A code of your second factor is needed"
