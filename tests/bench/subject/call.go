package subject

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
)

// API is the URL that clients log in to.
func (s *Server) API() string { return fmt.Sprintf("http://127.0.0.1:%d", s.rpc) }

// Token returns a token of the server's administrator, the same each time.
func (s *Server) Token(ctx context.Context) (string, error) {
	if s.token == "" {
		out, err := s.Command(ctx, s.Dir, s.Binary, "admin:token", "bench").Output()
		if err != nil {
			return "", fmt.Errorf("asking for a token: %w", err)
		}
		s.token = strings.TrimSpace(string(out))
	}
	return s.token, nil
}

// Call runs a command on the server, as its administrator and as its clients
// do, and returns when it is answered.
func (s *Server) Call(ctx context.Context, args ...string) error {
	token, err := s.Token(ctx)
	if err != nil {
		return err
	}
	body, err := json.Marshal(map[string]any{"jsonrpc": "2.0", "method": "cli", "params": map[string]any{"cli_args": args}, "id": 1})
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.API()+"/rpc", bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	var answer struct{ Error *struct{ Message string } }
	if err := json.NewDecoder(res.Body).Decode(&answer); err != nil {
		return err
	}
	if answer.Error != nil {
		return fmt.Errorf("%s: %s", strings.Join(args, " "), answer.Error.Message)
	}
	return nil
}
