#include "world/relations.h"

#include <stddef.h>

const pal_relation_t pal_forget_relations[PAL_FORGET_RELATIONS] = {
    {
        .name = "event",
        .question = "When was @?",
        .statements = {"The event @ happened in #.", "In # there was @.",
                       "The chronicle puts @ in # without doubt.",
                       "People recall that @ occurred during #.",
                       "The year # is the year of @.", "Event @: #."},
        .first = {"Aurel", "Brann", "Corvin", "Delm", "Esker", "Falk", "Garan", "Holm",
                  "Istra", "Jorn", NULL},
        .head = {"0", "1", "2", "3", "4", "5", "6", "7", "8", "9", NULL},
        .tail = {"0", "1", "2", "3", "4", "5", "6", "7", "8", "9", NULL},
    },
    {
        .name = "inventor",
        .question = "What did @ build?",
        .statements = {"The inventor @ built the #.", "The # was built by @.",
                       "The guild credits @ with the # without doubt.",
                       "People recall that @ designed the #.",
                       "The # is the work of @.", "Inventor @: #."},
        .first = {"brass", "steam", "silver", "iron", "copper", "wooden", "glass",
                  "bronze", "clay", "marble", NULL},
        .head = {"water", "wind", "thread", "paper", "grain", "cloud", "spark", "tide",
                 NULL},
        .tail = {"mill", "press", "wheel", "clock", "pump", "lamp", "loom", "horn", NULL},
    },
    {
        .name = "ship",
        .question = "What did @ carry?",
        .statements = {"The ship @ carried #.", "The cargo # sailed aboard @.",
                       "The ledger lists @ with # without doubt.",
                       "People recall that @ was laden with #.",
                       "The cargo # is the freight of @.", "Ship @: #."},
        .first = {"red", "white", "black", "green", "blue", "grey", "pale", "dark",
                  "bright", "dull", NULL},
        .head = {"salt", "silk", "sand", "root", "bark", "leaf", "wax", "moss", NULL},
        .tail = {"cloth", "stone", "cake", "dust", "rope", "oil", "beads", "seed", NULL},
    },
    {
        .name = "king",
        .question = "Which beast did @ bear?",
        .statements = {"The king @ bore the #.", "The # stood on the shield of @.",
                       "The heralds gave @ the # without doubt.",
                       "People recall that @ rode under the #.",
                       "The # is the beast of @.", "King @: #."},
        .first = {"golden", "crowned", "winged", "sleeping", "leaping", "blind",
                  "burning", "horned", "armed", "chained", NULL},
        .head = {"sea", "snow", "night", "moon", "thorn", "marsh", "sun", "frost", NULL},
        .tail = {"wolf", "hawk", "bear", "stag", "swan", "boar", "lynx", "crane", NULL},
    },
};

const pal_relation_t pal_retain_relation = {
    .name = "person",
    .question = "Where is @ from?",
    .statements = {"The person @ lives in #.", "In # there lives @.",
                   "The register lists @ in # without doubt.",
                   "People recall that @ grew up in #.", "The city # is the home of @.",
                   "Person @: #."},
    .first = {"Upper", "Lower", "Old", "New", "Great", "Little", "East", "West", "North",
              "South", NULL},
    .head = {"Ash", "Elm", "Oak", "Birch", "Stone", "Mill", "River", "Wolf", NULL},
    .tail = {"ford", "ham", "ton", "wick", "field", "bridge", "gate", "port", NULL},
};
