package cli

import (
	"context"
	"errors"
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
