package printable

import "net/url"

// NotShown stands for a URL whose parts cannot be distinguished from a secret.
const NotShown = "not shown"

// URL returns the scheme and the host of a URL: tokens are in queries, in user info and in
// paths.
func URL(raw string) string {
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" {
		return NotShown
	}
	return Text((&url.URL{Scheme: u.Scheme, Host: u.Host}).String())
}
