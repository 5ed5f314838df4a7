package rpc

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/api"
	"github.com/abilian/hop3/hop3/archive"
)

// The kinds of error that only a request as a whole can have.
const (
	codeParse      hop3.Code = "parse"
	codeBadRequest hop3.Code = "bad_request"
	codeTooLarge   hop3.Code = "too_large"
)

// maxRest bounds what is kept of a request in memory: all but the upload.
const maxRest = api.MaxRest

// request is a request as a server has it, with the upload in a file.
type request struct {
	api.Request
	named  json.RawMessage // the parameters of another method than cli
	upload *archive.Archive
}

// discard removes the upload, which nobody wants.
func (r *request) discard() error {
	if r.upload == nil {
		return nil
	}
	return r.upload.Close()
}

// envelope is a request whose parameters depend on its method.
type envelope struct {
	Version string          `json:"jsonrpc"`
	Method  string          `json:"method"`
	Params  json.RawMessage `json:"params"`
	ID      json.RawMessage `json:"id"`
}

// readRequest reads a request of at most limit bytes. With an error there is
// no upload left.
func readRequest(body io.Reader, limit int64, uploads Uploads) (req request, err error) {
	limited := &io.LimitedReader{R: body, N: limit + 1}
	s := splitter{in: bufio.NewReaderSize(limited, 64<<10), uploads: uploads}
	defer func() {
		if err != nil && s.upload != nil {
			err = errors.Join(err, s.upload.Close())
		}
	}()
	err = s.split()
	if limited.N <= 0 {
		return req, hop3.Errorf(codeTooLarge, "The request is larger than %d MB.", limit>>20)
	}
	if err != nil {
		return req, err
	}
	var got envelope
	if err := json.Unmarshal(s.rest.Bytes(), &got); err != nil {
		if syntax := new(json.SyntaxError); errors.As(err, &syntax) || !json.Valid(s.rest.Bytes()) {
			return req, hop3.Errorf(codeParse, "The request is not valid JSON.")
		}
		if bytes.HasPrefix(bytes.TrimSpace(s.rest.Bytes()), []byte("[")) { // no client sends any, and each call has its own body, rights and end
			return req, hop3.Errorf(codeBadRequest, "Batches of calls are not taken: send one call at a time.")
		}
		return req, hop3.Errorf(codeBadRequest, "The request is not a JSON-RPC call.")
	}
	if !isID(got.ID) {
		return req, hop3.Errorf(codeBadRequest, "The id of a call is a string, a number or null.")
	}
	req.Version, req.Method, req.ID = got.Version, got.Method, got.ID
	switch {
	case req.Method == "" || req.Version != "2.0" && req.Method != api.Method:
		return req, hop3.Errorf(codeBadRequest, "The request is not a JSON-RPC call.")
	case req.Method != api.Method:
		req.named = got.Params
	case len(got.Params) > 0:
		if err := json.Unmarshal(got.Params, &req.Params); err != nil {
			return req, hop3.Errorf(codeBadRequest, "The request is not a JSON-RPC call of 'cli'.")
		}
	}
	req.upload = s.upload
	return req, nil
}

// isID reports whether a valid JSON value, or none, may be a call's id.
func isID(value json.RawMessage) bool {
	return len(value) == 0 || !bytes.ContainsAny(value[:1], "{[tf")
}

// splitter takes the archive out of a request while it comes in: as JSON, 200
// MB of it would be in memory three times. What stays is the same JSON with an
// empty string in the archive's place; whether it is JSON, the decoder says.
type splitter struct {
	in      *bufio.Reader
	uploads Uploads
	rest    bytes.Buffer
	upload  *archive.Archive

	depth  int
	last   string // the string before, when nothing but blanks came since
	wanted bool   // a string here is the archive
}

// The upload is {"params": {"extra_args": {"repository": "…"}}}, or is called
// import_data where it is no source.
const (
	sourceKey   = "repository"
	importKey   = "import_data"
	uploadDepth = 3
)

func (s *splitter) split() error {
	for {
		c, err := s.in.ReadByte()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return cutOff(err)
		}
		if s.rest.Len() > maxRest {
			return hop3.Errorf(codeTooLarge, "The request is larger than %d MB without its archive.", maxRest>>20)
		}
		if c == '"' {
			if err := s.text(); err != nil {
				return err
			}
			continue
		}
		s.rest.WriteByte(c)
		s.structure(c)
	}
}

// structure follows the objects and arrays.
func (s *splitter) structure(c byte) {
	switch c {
	case ' ', '\t', '\r', '\n':
		return
	case ':':
		s.wanted = s.depth == uploadDepth && (s.last == sourceKey || s.last == importKey)
		s.last = ""
		return
	case '{', '[':
		s.depth++
	case '}', ']':
		s.depth--
	}
	s.last, s.wanted = "", false
}

// text reads a string whose opening quote was read.
func (s *splitter) text() error {
	if s.wanted {
		s.wanted = false
		s.rest.WriteString(`""`)
		return s.spool()
	}
	s.rest.WriteByte('"')
	start := s.rest.Len()
	for {
		chunk, err := s.in.ReadSlice('"')
		s.rest.Write(chunk)
		if s.rest.Len() > maxRest {
			return hop3.Errorf(codeTooLarge, "The request is larger than %d MB without its archive.", maxRest>>20)
		}
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		if err != nil {
			return cutOff(err)
		}
		if content := s.rest.Bytes()[start : s.rest.Len()-1]; !escaped(content) {
			s.last = string(content)
			return nil
		}
	}
}

// escaped reports whether what follows b in a string is escaped.
func escaped(b []byte) bool {
	n := len(b) - len(bytes.TrimRight(b, `\`))
	return n%2 == 1
}

// spool puts the string that begins here into a file, out of its base64.
func (s *splitter) spool() (err error) {
	if s.upload != nil {
		return hop3.Errorf(codeBadRequest, "The request has two archives.")
	}
	text := &stringReader{in: s.in}
	s.upload, err = archive.FromReader(base64.NewDecoder(base64.StdEncoding, text), s.uploads.Dir, s.uploads.Limits)
	switch corrupt := base64.CorruptInputError(0); {
	case errors.As(err, &corrupt):
		return hop3.Errorf(codeBadRequest, "The archive is not base64.")
	case errors.Is(err, io.ErrUnexpectedEOF) && text.done:
		return hop3.Errorf(codeBadRequest, "The archive is not whole base64.")
	case err != nil:
		return cutOff(err)
	}
	return nil
}

// stringReader reads a JSON string of base64 up to its closing quote.
type stringReader struct {
	in   *bufio.Reader
	done bool
}

func (r *stringReader) Read(p []byte) (int, error) {
	if r.done {
		return 0, io.EOF
	}
	if _, err := r.in.Peek(1); err != nil {
		return 0, io.ErrUnexpectedEOF
	}
	chunk, _ := r.in.Peek(min(len(p), r.in.Buffered())) // no more than there is
	if i := bytes.IndexAny(chunk, "\"\\"); i >= 0 {
		if i == 0 {
			return r.special(p)
		}
		chunk = chunk[:i]
	}
	n := copy(p, chunk)
	return r.in.Discard(n)
}

// special reads the closing quote or an escape. The only one that base64 can
// have is \/.
func (r *stringReader) special(p []byte) (int, error) {
	c, _ := r.in.ReadByte() // it was peeked at
	if c == '"' {
		r.done = true
		return 0, io.EOF
	}
	if c, err := r.in.ReadByte(); err != nil || c != '/' {
		return 0, base64.CorruptInputError(0)
	}
	p[0] = '/'
	return 1, nil
}

func cutOff(err error) error {
	if hop3.CodeOf(err) != hop3.CodeInternal {
		return err
	}
	return hop3.Errorf(codeParse, "The request was cut off: %w", err)
}
