package main

// A view is the content of the page.
type view struct {
	Room     roomView
	Conn     connView
	Backend  backendView
	Comments []commentView // oldest first, as the other lists
	Notices  []noticeView
	Goods    []goodsView
	Log      []logView // the newest state changes
}

type roomView struct {
	Joined    bool  `json:"joined"`
	Viewers   int64 `json:"viewers"`
	Followers int64 `json:"followers"`
}

type connView struct {
	State    string    `json:"state"` // idle connecting open waiting offline closed failed
	Attempt  int       `json:"attempt"`
	RetryAt  int64     `json:"retry_at"` // unix ms, 0 when none
	RTTMicro int64     `json:"rtt_us"`
	Opens    int       `json:"opens"`
	Cause    causeView `json:"cause"` // of the last disconnect or failed attempt
}

// A causeView is the zero value if there is no cause.
type causeView struct {
	Kind string `json:"kind"` // one of kinds, which the page has words for
	Text string `json:"text"` // of the error
}

type backendView struct {
	Own bool `json:"own"` // false with -url: then the fault buttons are hidden
	Up  bool `json:"up"`
}

type commentView struct {
	Name    string `json:"name"`
	Content string `json:"content"`
	Own     bool   `json:"own"`
}

type noticeView struct {
	Text string `json:"text"`
	At   int64  `json:"at"` // unix ms
}

type goodsView struct {
	ID    string `json:"id"`
	Name  string `json:"name"`
	Price string `json:"price"`
	Image string `json:"image"` // a data: URL; of anything else the page shows the name's first character
}

type logView struct {
	At      int64     `json:"at"` // unix ms
	State   string    `json:"state"`
	Attempt int       `json:"attempt"` // that comes after the wait
	WaitMS  int64     `json:"wait_ms"` // 0: none
	Cause   causeView `json:"cause"`
}
