package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/abilian/hop3/hop3/api"
	"github.com/abilian/hop3/hop3/client"
)

// export is `addon TYPE export NAME` of any size, which comes as it is read. It
// is not done where the whole answer is wanted, or the server has no such way.
func (p *program) export(ctx context.Context, c *client.Client, words []string) (done bool, err error) {
	if len(words) != 4 || words[0] != "addon" || words[2] != "export" || strings.HasPrefix(words[3], "-") || p.flags.json {
		return false, nil
	}
	err = c.Export(ctx, words[1], words[3], p.Out)
	if refused := new(client.Error); errors.As(err, &refused) && refused.Exit() == api.ExitNotFound {
		return false, nil // asked as a command, the server says what there is not
	}
	return err == nil, err
}

// importData is `addon TYPE import NAME` of any size. It is not done where the
// whole answer is wanted, or the server has no such way.
func (p *program) importData(ctx context.Context, c *client.Client, words []string, input *client.Archive) (done bool, err error) {
	if _, takes := takesInput(words); !takes || words[2] != "import" {
		return false, nil
	}
	if len(words) == 4 && !p.flags.json {
		finished := p.waiting("Waiting for the server")
		err := c.Import(ctx, words[1], words[3], input)
		finished()
		if err == nil {
			p.printer.say("", fmt.Sprintf("The data of '%s' are those of the input.", words[3]))
			return true, nil
		}
		if refused := new(client.Error); !errors.As(err, &refused) || refused.Exit() != api.ExitNotFound && refused.Code != http.StatusMethodNotAllowed {
			return false, err
		}
		if _, err := input.Content.(io.Seeker).Seek(0, io.SeekStart); err != nil {
			return false, fmt.Errorf("reading the input once more: %w", err)
		}
	}
	most, err := mostOf(ctx, c, input.Size)
	if err == nil && most > 0 {
		err = exitf(api.ExitUsage, "The input is %s, and the server takes %s at most in this way.", size(input.Size), size(most))
	}
	return false, err
}
