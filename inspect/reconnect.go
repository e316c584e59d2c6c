package inspect

import (
	"encoding/json"
	"errors"
	"net/http"
)

// errNoClient is the error for an id that no client has, or no longer has.
var errNoClient = errors.New("there is no such client any more")

// sameOrigin checks whether a POST comes from the page itself, by header fields that
// browsers set and web sites cannot change.
var sameOrigin = http.NewCrossOriginProtection()

// serveReconnect calls Reconnect of a client, if that is allowed.
func (p *Page) serveReconnect(w http.ResponseWriter, r *http.Request, id string) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", "POST")
		answer(w, http.StatusMethodNotAllowed, "reconnect with POST")
		return
	}
	if err := sameOrigin.Check(r); err != nil {
		answer(w, http.StatusForbidden, "this is not for other web sites")
		return
	}
	if !p.reconnect {
		answer(w, http.StatusForbidden, "the program does not allow it")
		return
	}
	switch err := p.clients.reconnect(id); {
	case errors.Is(err, errNoClient):
		answer(w, http.StatusNotFound, err.Error())
	case err != nil:
		answer(w, http.StatusConflict, plain(err))
	default:
		answer(w, http.StatusOK, "")
	}
}

// answer sends the result of a request to the page's script.
func answer(w http.ResponseWriter, status int, problem string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(struct {
		OK    bool   `json:"ok"`
		Error string `json:"error,omitempty"`
	}{problem == "", problem})
}
