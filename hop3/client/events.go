package client

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/abilian/hop3/hop3/api"
)

// How often a stream that broke is taken up again, and how long after.
const (
	maxResumes   = 5
	resumeWait   = time.Second
	eventTimeout = 90 * time.Second // three keepalives
	maxEventLine = 1 << 20
)

// errEnded is the end of a stream that did not say how the deploy ended.
var errEnded = errors.New("the stream ended unexpectedly")

// FollowDeploy calls line for each line of a deploy's progress and returns how
// it ended. A connection that breaks is taken up where it was.
func (c *Client) FollowDeploy(ctx context.Context, streamID string, line func(api.LogEvent)) (api.CompleteEvent, error) {
	return c.FollowProgress(ctx, streamID, line, nil)
}

// FollowProgress is FollowDeploy, and calls progress, unless it is nil, with how
// far a step is.
func (c *Client) FollowProgress(ctx context.Context, streamID string, line func(api.LogEvent), progress func(api.ProgressEvent)) (api.CompleteEvent, error) {
	var done *api.CompleteEvent
	lastID, path := "", "/api/stream/"+url.PathEscape(streamID)
	if progress != nil {
		path += "?progress=1"
	}
	for try := 0; ; try++ {
		err := c.events(ctx, path, lastID, func(ev event) error {
			try = 0
			if ev.id != "" {
				lastID = ev.id
			}
			switch ev.name {
			case api.EventLog:
				var l api.LogEvent
				if json.Unmarshal([]byte(ev.data), &l) == nil {
					line(l)
				}
			case api.EventProgress:
				var p api.ProgressEvent
				if progress != nil && json.Unmarshal([]byte(ev.data), &p) == nil {
					progress(p)
				}
			case api.EventComplete:
				done = new(api.CompleteEvent)
				return json.Unmarshal([]byte(ev.data), done)
			}
			return nil
		})
		var refused *Error
		switch {
		case done != nil:
			return *done, err
		case ctx.Err() != nil:
			return api.CompleteEvent{}, ctx.Err()
		case errors.As(err, &refused) || try >= maxResumes:
			return api.CompleteEvent{}, err
		}
		select {
		case <-time.After(resumeWait):
		case <-ctx.Done():
		}
	}
}

// FollowLogs calls line for each line of an app's logs until ctx is done.
func (c *Client) FollowLogs(ctx context.Context, app string, query url.Values, line func(string)) error {
	path := "/api/apps/" + url.PathEscape(app) + "/logs/stream?" + query.Encode()
	return c.events(ctx, path, "", func(ev event) error {
		switch ev.name {
		case api.EventLog:
			var l api.LogEvent
			if json.Unmarshal([]byte(ev.data), &l) == nil {
				line(l.Msg)
			}
		case api.EventComplete:
			var end api.CompleteEvent
			_ = json.Unmarshal([]byte(ev.data), &end) // an unreadable end is an end too
			return errors.New(end.Error)
		}
		return nil
	})
}

// FollowEvents calls each for each event until ctx is done. A connection that
// breaks is taken up behind the last event, also with a server that was
// started anew: how long it may take is for ctx to say.
func (c *Client) FollowEvents(ctx context.Context, query url.Values, each func(api.Event)) error {
	lastID, begun := "", false
	for {
		var ended error
		err := c.events(ctx, "/api/events?"+query.Encode(), lastID, func(ev event) error {
			begun = true
			switch ev.name {
			case api.EventEvent:
				var e api.Event
				if json.Unmarshal([]byte(ev.data), &e) == nil {
					lastID = ev.id
					each(e)
				}
			case api.EventComplete:
				var end api.CompleteEvent
				_ = json.Unmarshal([]byte(ev.data), &end) // an unreadable end is an end too
				ended = errors.New(end.Error)
			}
			return ended
		})
		var refused *Error
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case ended != nil:
			return ended
		case !begun, errors.As(err, &refused) && refused.Code != http.StatusServiceUnavailable && refused.Code != http.StatusBadGateway:
			return err
		}
		select {
		case <-time.After(resumeWait):
		case <-ctx.Done():
		}
	}
}

// event is a server-sent event.
type event struct{ name, id, data string }

// events reads a stream until handle returns an error, or the stream ends:
// that is an error too.
func (c *Client) events(ctx context.Context, path, lastID string, handle func(event) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	req, err := c.request(ctx, http.MethodGet, path, nil)
	if err != nil {
		return err
	}
	req.Header.Set("Accept", "text/event-stream")
	req.Header.Set("Cache-Control", "no-cache")
	if lastID != "" {
		req.Header.Set("Last-Event-ID", lastID)
	}
	resp, err := c.open(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	// A server that died without a word sends no keepalives any more.
	silence := time.AfterFunc(eventTimeout, cancel)
	defer silence.Stop()
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, maxEventLine)
	var ev event
	for lines.Scan() {
		silence.Reset(eventTimeout)
		field, value, _ := strings.Cut(lines.Text(), ":")
		value = strings.TrimPrefix(value, " ")
		switch {
		case lines.Text() == "":
			if ev.data != "" {
				if err := handle(ev); err != nil {
					return err
				}
			}
			if ev.name == api.EventComplete {
				return nil
			}
			ev = event{}
		case field == "event":
			ev.name = value
		case field == "id":
			ev.id = value
		case field == "data":
			ev.data += value
		}
	}
	if err := lines.Err(); err != nil {
		return unreachable(c.base, err)
	}
	return errEnded
}

// open asks for what comes bit by bit.
func (c *Client) open(req *http.Request) (*http.Response, error) {
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, unreachable(c.base, err)
	}
	if resp.StatusCode != http.StatusOK {
		defer resp.Body.Close()
		return nil, streamError(resp)
	}
	return resp, nil
}

func streamError(resp *http.Response) error {
	body, _ := io.ReadAll(io.LimitReader(resp.Body, 64<<10)) // it only words the error
	var answer struct{ Error *api.Error }
	if json.Unmarshal(body, &answer) == nil && answer.Error != nil {
		return ServerError(answer.Error)
	}
	return &Error{Code: resp.StatusCode, Message: "The stream cannot be followed: HTTP " + resp.Status}
}
